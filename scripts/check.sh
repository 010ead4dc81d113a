#!/usr/bin/env bash
# The gate: formatting, lints, documentation, vectors in a second language, and all tests.
# The tests come last, so the last line is the test runner's.
set -euo pipefail
cd "$(dirname "$0")/.."

# A build from nothing gains nothing from what incremental compilation keeps.
export CARGO_INCREMENTAL=0

step() { printf '\n== %s\n' "$1"; }

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
cargo test --workspace --doc --quiet
step "vectors: portable backend, SubtleCrypto"
cargo test --quiet --package chat-protocol --features rustcrypto --test crypto_backends --test wycheproof
cargo test --quiet --package chat-protocol --no-default-features --features rustcrypto --test vectors
node scripts/vectors.mjs | tail -n 1
step "tests"
cargo test --workspace --tests
