#!/usr/bin/env bash
# Builds both programs, starts a server on a free port and lets twenty emulated clients chat and run
# commands over it. Prints the report; its exit code says whether anything was lost.
#   scripts/demo.sh [options of `chat-client --emulate`, such as --per-client 100 --html report.html]
set -euo pipefail
cd "$(dirname "$0")/.."

echo "building chat-server and chat-client; on a new machine this takes some minutes" >&2
cargo build --package chat-server --package chat-client
bin="${CARGO_TARGET_DIR:-target}/debug"
work="$(mktemp -d)"
server_log="$work/server.log"
finish() {
  if [[ -n "${server:-}" ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

mkdir -p logs
"$bin/chat-server" --port 0 --data "$work/data" --logs logs --log-format text >/dev/null 2>"$server_log" &
server=$!
url=""
for _ in $(seq 300); do
  url="$(grep -oE 'ws://[0-9.:]+' "$server_log" | head -n 1 || true)"
  [[ -n "$url" ]] && break
  if ! kill -0 "$server" 2>/dev/null; then
    cat "$server_log" >&2
    exit 1
  fi
  sleep 0.1
done
if [[ -z "$url" ]]; then
  echo "the server did not start within 30 s; its log:" >&2
  cat "$server_log" >&2
  exit 1
fi

"$bin/chat-client" --server "$url" --home "${CHAT_DEMO_HOME:-$work/home}" --logs logs \
  --emulate 20 --messages messages.txt "$@"
echo "operation logs: logs/server.jsonl and logs/client-emu-*.jsonl"
