#!/usr/bin/env bash
# Runs the commands of docs/OPERATIONS.md as they stand there: every block marked `sh`, one after the other,
# in a new folder. Says which section it is in; the first command that fails ends it.
#   scripts/operations.sh           with the programs of target/debug
#   scripts/operations.sh DIR       with chat-server and chat-client of DIR
set -euo pipefail
cd "$(dirname "$0")/.."

PROGRAMS="$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug}")"
page="$PWD/docs/OPERATIONS.md"
work="$(mktemp -d)"
# What is left running belongs to this script, and writes into its folder until it has ended.
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT

# A port that nobody uses now.
PORT="$(awk 'BEGIN { srand(); print 20000 + int(rand() * 20000) }')"
while (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do PORT=$((PORT + 1)); done
export PROGRAMS PORT

awk '
  /^## / { section = substr($0, 4) }
  /^```sh$/ { inside = 1; printf "printf \"\\n== %s\\n\"\n", section; next }
  /^```$/ { inside = 0 }
  inside { print }
' "$page" >"$work/day.sh"

for name in $(compgen -e); do
  case "$name" in CHAT_*) unset "$name" ;; esac
done
# The disk of whoever tries this may be fuller than a server likes.
export CHAT_SERVER_LIMIT=disk=off
cd "$work"
set -x
# shellcheck source=/dev/null
source ./day.sh
{ set +x; } 2>/dev/null
printf '\nthe day is over\n'
