#!/usr/bin/env bash
# A chat at a terminal for a long time: messages come all the while, and keys without sense in every mode of
# the line editor. It must never be frozen, and show every message once. The long part of the gate.
#   scripts/soak.sh [--full] [MINUTES] [RATE] [SEED]   (default: 10 minutes, 200 messages a second, another seed
#                                             each time, which is printed; --full: at the full screen, in a
#                                             terminal that changes its size); BIN=folder of the programs
#                                             (default: builds them for release)
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z "${BIN:-}" ]]; then
  cargo build --quiet --release --workspace --bins
  BIN="${CARGO_TARGET_DIR:-target}/release"
fi
exec "$BIN/chat-soak" "$@"
