#!/usr/bin/env bash
# Measures the server: it runs on one core, the load generator on another. Frames are sealed and
# signed before the clock starts; deliveries are counted without being opened. One JSON line a load.
#   scripts/load.sh [signature|transport]     whether the hub checks signatures (default: signature)
set -euo pipefail
cd "$(dirname "$0")/.."

verify="${1:-signature}"
cargo build --quiet --release --package chat-server --package chat-tests --bin chat-server --bin chat-load
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
  taskset -c 0 "$bin/chat-server" --port 0 --data "$work/data" --logs "$work/logs" \
    --verify "$verify" --log-format text >/dev/null 2>"$work/server.log" &
  server=$!
  local address=""
  for _ in $(seq 300); do
    address="$(grep -oE 'ws://[0-9.:]+' "$work/server.log" 2>/dev/null | head -n 1 | cut -c6- || true)"
    [[ -n "$address" ]] && break
    sleep 0.1
  done
  taskset -c 1 "$bin/chat-load" "$@" --server "$address" --pid "$server"
}

echo "hub checks: $verify"
measure room --clients 1000 --publishers 4 --messages 250
measure room --clients 1000 --publishers 4 --messages 250 --receipts
measure room --clients 20 --publishers 4 --messages 5000
measure dm --clients 1000 --messages 40
measure dm --clients 1000 --messages 64 --batch 64
measure ack --clients 1 --messages 20000 --batch 64
measure ack --clients 20 --messages 4000 --batch 64
measure ack --clients 200 --messages 400 --batch 64
