#!/usr/bin/env bash
# Measures the server: it runs on one core, the load generator on another. Frames are sealed and
# signed before the clock starts; deliveries are counted without being opened. One JSON line a load.
#   scripts/load.sh [signature|transport]     whether the hub checks signatures (default: signature)
#   scripts/load.sh slow                      what members who never read cost the others: five pairs
#                                             of runs, without and with five of them, and the median
#   scripts/load.sh drain [COUNT]             how a real client shows what waited for somebody who was
#                                             away (default: 100000 messages), and what both sides need
#   scripts/load.sh http                      a file of 10 kB over HTTP: alone, then 1,000 requests a
#                                             second beside direct messages, and what those pay for it
set -euo pipefail
cd "$(dirname "$0")/.."

verify="${1:-signature}"
if [[ "$verify" == drain ]]; then
  cargo build --quiet --release --workspace --bins
  bin="${CARGO_TARGET_DIR:-target}/release"
  exec "$bin/chat-drain" --bin "$bin" --messages "${2:-100000}"
fi
if [[ "$verify" == slow ]]; then
  verify=signature
  pairs=5
fi
www=()
if [[ "$verify" == http ]]; then
  verify=signature
  beside=3
  www=(--www)
fi
cargo build --quiet --release --workspace --bins
bin="${CARGO_TARGET_DIR:-target}/release"
work="$(mktemp -d)"
server=""
finish() {
  if [[ -n "$server" ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
}
trap 'finish; rm -rf "$work"' EXIT

# Starts a fresh server for each load, so that none pays for the one before.
measure() {
  finish
  rm -rf "$work"/*
  mkdir "$work/www"
  head -c 10240 /dev/urandom >"$work/www/file.bin"
  taskset -c 0 "$bin/chat-server" --port 0 --data "$work/data" --logs "$work/logs" \
    --verify "$verify" --limits off --log-format text ${www:+--www "$work/www"} >/dev/null 2>"$work/server.log" &
  server=$!
  local address=""
  for _ in $(seq 300); do
    address="$(grep -oE 'ws://[0-9.:]+' "$work/server.log" 2>/dev/null | head -n 1 | cut -c6- || true)"
    [[ -n "$address" ]] && break
    sleep 0.1
  done
  taskset -c 1 "$bin/chat-load" "$@" --server "$address" --pid "$server"
}

# The p99 of a room in milliseconds, with so many members who never read.
p99() {
  measure room --clients 50 --publishers 4 --messages 2500 --window 4 --sleepers "$1" |
    tee /dev/stderr | grep -oE '"p99_ms":[0-9.]+' | cut -d : -f 2
  # This runs in a shell of its own, which alone knows the server.
  finish
}

if [[ -n "${pairs:-}" ]]; then
  for _ in $(seq "$pairs"); do
    without="$(p99 0)"
    with="$(p99 5)"
    awk -v with="$with" -v without="$without" 'BEGIN { printf "%.2f\n", with / without }'
  done | sort -n | sed -n "$((pairs / 2 + 1))p" | sed 's/^/p99 with readers that stand still, as a ratio: /'
  exit 0
fi

# The median latency of direct messages in milliseconds, beside so many requests a second.
p50() {
  measure dm --clients 20 --messages 1000 --window 1 --batch 64 --http-rate "$1" |
    tee /dev/stderr | head -n 1 | grep -oE '"p50_ms":[0-9.]+' | cut -d : -f 2
  finish
}

if [[ -n "${beside:-}" ]]; then
  measure http --seconds 5
  for _ in $(seq "$beside"); do
    without="$(p50 0)"
    with="$(p50 1000)"
    awk -v with="$with" -v without="$without" 'BEGIN { printf "%.2f\n", with / without }'
  done | sort -n | sed -n "$((beside / 2 + 1))p" |
    sed 's/^/p50 of direct messages beside 1,000 requests a second, as a ratio: /'
  exit 0
fi

echo "hub checks: $verify"
measure room --clients 1000 --publishers 4 --messages 250
measure room --clients 1000 --publishers 4 --messages 250 --receipts
measure room --clients 20 --publishers 4 --messages 5000
measure dm --clients 1000 --messages 40
measure dm --clients 1000 --messages 64 --batch 64
measure ack --clients 1 --messages 20000 --batch 64
measure ack --clients 20 --messages 4000 --batch 64
measure ack --clients 200 --messages 400 --batch 64
