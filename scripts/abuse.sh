#!/usr/bin/env bash
# Hostile accounts against a server with its usual budgets: one line an attack. The attacker has one core,
# the server and a pair of people who write to each other the other one; in the run to compare with the
# first core computes something else. Prints the server's memory before and after, the pair's p99 beside
# that of the quiet run, what the attacker got done, and whether a newcomer comes in afterwards.
#   scripts/abuse.sh [ROW…]        rows 1 to 12 and 14 (default: all); ABUSE_SECONDS=8 for each, BIN=folder of the
#                                  programs (default: builds them for release)
# Ends with 1 if memory grew by more than 64 MiB, the p99 more than doubled (from 5 ms on), or the newcomer
# could not come in.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${ABUSE_SECONDS:-8}"
rows=("$@")
[[ ${#rows[@]} -gt 0 ]] || rows=(1 2 3 4 5 6 7 8 9 10 11 12 14)
if [[ -z "${BIN:-}" ]]; then
  cargo build --quiet --release --package chat-server --package chat-tests --bin chat-server --bin chat-abuse
  BIN="${CARGO_TARGET_DIR:-target}/release"
fi
work="$(mktemp -d)"
server=""
finish() {
  if [[ -n "$server" ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=""
  fi
}
trap 'finish; rm -rf "$work"' EXIT

address=""
start() {
  finish
  rm -rf "$work"/*
  taskset -c 0 "$BIN/chat-server" --port 0 --data "$work/data" --logs "$work/logs" --log-format text \
    >/dev/null 2>"$work/server.log" &
  server=$!
  address=""
  for _ in $(seq 300); do
    address="$(grep -oE 'ws://[0-9.:]+' "$work/server.log" 2>/dev/null | head -n 1 | cut -c6- || true)"
    [[ -n "$address" ]] && return
    sleep 0.1
  done
  echo "the server did not start" >&2
  exit 1
}

abuse() { "$BIN/chat-abuse" --server "$address" --seconds "$seconds" "$@"; }
rss() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$server/status"; }

start
taskset -c 1 "$BIN/chat-abuse" --seconds $((seconds + 1)) burn >/dev/null &
quiet="$(taskset -c 0 "$BIN/chat-abuse" --server "$address" --seconds "$seconds" pair)"
wait $!
quiet_p99="${quiet#* }"
echo "quiet: p50 ${quiet% *} ms, p99 $quiet_p99 ms, $(rss) MiB"

failed=0
usual="$seconds"
for row in "${rows[@]}"; do
  # A crowd of five thousand takes longer to come.
  seconds="$usual"
  [[ "$row" != 14 || "$seconds" -ge 150 ]] || seconds=150
  start
  sleep 0.5
  before="$(rss)"
  pair="$work/pair"
  (sleep 0.5; taskset -c 0 "$BIN/chat-abuse" --server "$address" --seconds "$seconds" pair >"$pair" 2>&1) &
  watching=$!
  done_="$(taskset -c 1 "$BIN/chat-abuse" --server "$address" --seconds "$seconds" attack "$row" 2>&1 || true)"
  wait "$watching" || true
  sleep 1
  after="$(rss)"
  p99="$(awk '{print $2}' "$pair")"
  came="$(timeout 60 taskset -c 1 "$BIN/chat-abuse" --server "$address" newcomer 2>&1 || echo FAILED)"
  verdict="$(awk -v a="$after" -v b="$before" -v p="$p99" -v q="$quiet_p99" -v c="$came" 'BEGIN {
    limit = 2 * q; if (limit < 5) limit = 5
    print (a - b <= 64 && p + 0 > 0 && p <= limit && c !~ /FAILED|error/) ? "ok" : "FAILED" }')"
  [[ "$verdict" == ok ]] || failed=1
  printf 'row %2s %-6s %4s -> %4s MiB, p99 %8s ms (quiet %s), newcomer: %s; %s\n' \
    "$row" "$verdict" "$before" "$after" "$p99" "$quiet_p99" "$came" "$done_"
done
exit "$failed"
