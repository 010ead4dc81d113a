#!/usr/bin/env bash
# The gate: formatting, lints, documentation, vectors in a second language, and all tests.
# The tests come last, so the last line is the test runner's.
#   scripts/check.sh            all of it
#   scripts/check.sh --quick    formatting, lints and the tests inside the crates: a minute or two after a change
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -n "${1:-}" && "$1" != --quick ]]; then
  echo "usage: scripts/check.sh [--quick]" >&2
  exit 2
fi

# A build from nothing gains nothing from what incremental compilation keeps.
export CARGO_INCREMENTAL=0

# What the steps before it took shows where the time goes.
step() { printf '\n== %s (after %d s)\n' "$1" "$SECONDS"; }

step "formatting"
cargo fmt --all --check
step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings
if [[ "${1:-}" == --quick ]]; then
  step "tests inside the crates"
  exec cargo test --workspace --lib
fi
step "documentation"
# Examples, of which there may be none, need what tests need: so other people's crates have the features that the
# lints have checked them with, and are not checked again.
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --lib --bins --examples --quiet
cargo test --workspace --doc --quiet
step "vectors: portable backend, SubtleCrypto"
# Beside crates that do not need chat-protocol, most of other people's crates have the features that they have in the
# whole workspace, and are not compiled again.
portable=(--package chat-protocol --package chat-beneath --package chat-exec --package chat-manual --package chat-oplog)
cargo test --quiet "${portable[@]}" --features chat-protocol/rustcrypto --test crypto_backends --test wycheproof
cargo test --quiet "${portable[@]}" --no-default-features --features chat-protocol/rustcrypto --test vectors
node scripts/vectors.mjs | tail -n 1
step "the core for a browser"
wasm=wasm32-unknown-unknown
if compgen -G "$(rustc --print target-libdir --target "$wasm")/libstd-*.rlib" >/dev/null; then
  cargo check --quiet --target "$wasm" --package chat-endpoint --no-default-features --features chat-protocol/rustcrypto
else
  echo "skipped: the toolchain has no target $wasm (rustup target add $wasm)"
fi
step "tests"
# Scenarios wait for programs more than they compute: one test for each core leaves cores idle.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((1 + $(nproc)))}"
cargo test --workspace --tests
