#!/usr/bin/env bash
# How soon the full screen shows what is there, and what a key does, with 100,000 lines and 1,000 conversations, and
# while 50 and 500 messages a second come. The client has one core, all else the other.
#   scripts/paint.sh [--lines N] [--conversations N] [--rates N,N] [--keys N]
#   BIN=folder of the programs (default: builds them for release)
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z "${BIN:-}" ]]; then
  cargo build --quiet --release --workspace --bins
  BIN="${CARGO_TARGET_DIR:-target}/release"
fi
exec taskset -c 0 "$BIN/chat-paint" --core 1 "$@"
