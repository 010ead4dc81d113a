#!/usr/bin/env bash
# The hub that tries: every attack that we know, against the real programs, through a proxy that holds
# the hub's keys. One line each: REFUSED, DETECTED or BLIND, and what the person saw. Exit 0 only if
# none has succeeded. BLIND is only what docs/SECURITY.md lists as possible. At most 15 minutes beside
# the time to build.
#   scripts/evil-hub.sh            all attacks, then 1,000 marked messages that nothing may hold
#   scripts/evil-hub.sh NAME...    only these attacks, by the names in the second column
set -euo pipefail
cd "$(dirname "$0")/.."

# Examples, of which there may be none, need what tests need: so nothing is compiled again that the tests have.
cargo build --quiet --workspace --bins --examples
bin="${CARGO_TARGET_DIR:-target}/debug"
if (($# > 0)); then
  exec timeout 900 "$bin/chat-attacks" "$@"
fi
cargo test --quiet --package chat-tests --test suite --no-run
status=0
timeout 720 "$bin/chat-attacks" || status=1
echo "1,000 marked messages, with names of files, commands and outputs:"
CHAT_CANARIES=1000 timeout 180 cargo test --quiet --package chat-tests --test suite -- leak:: ||
  status=1
exit "$status"
