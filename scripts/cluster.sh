#!/usr/bin/env bash
# Several servers that behave as one, on this machine: a Redis and N servers in a folder of their own.
#   scripts/cluster.sh [N]         starts N servers (2), prints their addresses; Ctrl-C stops all
#   scripts/cluster.sh demo        two people at two servers talk, join a room and follow each other; says ok, or what failed
#   scripts/cluster.sh chaos [N]   N times (6) a server or Redis is killed, or Redis is emptied or replaced by an empty one,
#                                  while clients talk; nothing may be lost, and all servers hold the same
# BIN=folder of the programs (default: builds them); KEEP=1 leaves the folder, with all logs.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v redis-server >/dev/null; then
  echo "redis-server is missing: apt-get install redis-server" >&2
  exit 77
fi
if [[ -z "${BIN:-}" ]]; then
  cargo build --quiet --package chat-server --package chat-client
  BIN="${CARGO_TARGET_DIR:-target}/debug"
fi
BIN="$(cd "$BIN" && pwd)"
messages="$PWD/messages.txt"
work="$(mktemp -d "${TMPDIR:-/tmp}/chat-cluster.XXXXXX")"
redis_url="unix://$work/redis.sock"
export CHAT_PASSWORD="${CHAT_PASSWORD:-velvet-anchor-7-gravel-trombone}"
redis=""
node=() url=() port=() starts=()
others=()

finish() {
  for pid in "${others[@]}" "${node[@]}" $redis; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${others[@]}" "${node[@]}" $redis; do wait "$pid" 2>/dev/null || true; done
  if [[ -n "${KEEP:-}" ]]; then echo "everything is in $work" >&2; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM

fail() {
  echo "failed: $*" >&2
  for log in "$work"/n*.log; do echo "== $log" >&2 && tail -n 15 "$log" >&2; done
  exit 1
}

# Waits until a file has a line with these words; 30 s unless told otherwise.
wait_for() {
  for _ in $(seq $((${3:-30} * 20))); do
    grep -qF -- "$2" "$1" 2>/dev/null && return
    sleep 0.05
  done
  [[ ! -f "$1" ]] || tail -n 15 "$1" >&2
  fail "no \"$2\" in $1"
}

start_redis() {
  (cd "$work" && exec redis-server --port 0 --unixsocket "$work/redis.sock" --save "" --appendonly yes \
    --appendfsync always --maxmemory-policy noeviction --dir "$work") >>"$work/redis.log" 2>&1 &
  redis=$!
}

# Starts server N, at the port that it had before. What it said before stays in its log.
start_node() {
  mkdir -p "$work/n$1" && touch "$work/n$1.log"
  starts[$1]=$((${starts[$1]:-0} + 1))
  "$BIN/chat-server" --port "${port[$1]:-0}" --data "$work/n$1/data" --logs "$work/n$1/logs" --log-format text \
    --redis "$redis_url" --node "n$1" --cluster-key "$work/cluster.key" --limits off \
    >/dev/null 2>>"$work/n$1.log" &
  node[$1]=$!
}

# How often server N has listened.
listened() { grep -cF "listening on ws" "$work/n$1.log" || true; }

wait_node() {
  for _ in $(seq 600); do
    (($(listened "$1") < starts[$1])) || break
    kill -0 "${node[$1]}" 2>/dev/null || fail "n$1 has ended by itself"
    sleep 0.05
  done
  (($(listened "$1") == starts[$1])) || fail "n$1 does not listen"
  url[$1]="$(grep -oE 'ws://[0-9.:]+' "$work/n$1.log" | tail -n 1)"
  port[$1]="${url[$1]##*:}"
}

start_all() {
  start_redis
  wait_for "$work/redis.log" "eady to accept connections"
  for i in $(seq "$1"); do start_node "$i" && wait_node "$i"; done
}

servers() { for i in "${!url[@]}"; do printf -- '--server %s ' "${url[$i]}"; done; }

# A person at one server, who types what `types NAME LINE` says and whose screen is in NAME.out.
person() {
  mkfifo "$work/$1.in"
  "$BIN/chat-client" --server "$2" --user "$1" --register --key-bits 2048 --home "$work/home-$1" \
    --logs "$work/logs" <"$work/$1.in" >"$work/$1.out" 2>&1 &
  others+=($!)
  eval "exec {in_$1}>\"$work/$1.in\""
  wait_for "$work/$1.out" "connected to"
}

types() { eval "printf '%s\n' \"\$2\" >&\$in_$1"; }

sees() { wait_for "$work/$1.out" "$2" && echo "ok: $1 sees: $2"; }

demo() {
  start_all 2
  person a "${url[1]}"
  person b "${url[2]}"
  types a "hello from a" && sees b "#lobby a: hello from a"
  types b "hello from b" && sees a "#lobby b: hello from b"
  types a "b*for you alone" && sees b "a → you: for you alone"
  sees a "delivered to b"
  types a "/join room1" && sees a "you are in #room1"
  types b "/join room1" && sees a "[b] joined #room1"
  types a "in the room" && sees b "#room1 a: in the room"
  types b "/rooms" && sees b "* #room1 "
  types a "/leave" && sees b "[a] left #room1"
  types a "/subscribe b" && sees b "a follows you now"
  types b "followed" && sees a "[b in #room1] followed"
  echo "ok: a at ${url[1]} and b at ${url[2]} behave as at one server"
}

# Somebody who says numbered lines in the lobby, and notes what was acknowledged.
talk() {
  mkfifo "$work/talk.in"
  # shellcheck disable=SC2046 # the addresses are words
  "$BIN/chat-client" $(servers) --user talk --register --key-bits 2048 --home "$work/home-talk" \
    --logs "$work/logs" --json <"$work/talk.in" >"$work/talk.out" 2>"$work/talk.err" &
  talker=$!
  others+=("$talker")
  (
    # Ended by the file's coming; a server may be away, and lines wait then.
    for number in $(seq 100000); do
      [[ ! -e "$work/enough" ]] || break
      echo "line $number" && sleep 0.05
    done
  ) >"$work/talk.in" &
  others+=($!)
}

# The ids of these events in a file, once each.
ids() { grep "\"event\":\"$2\"" "$1" | grep -F -- "$3" | grep -oE '"id":"[A-Za-z0-9_-]+"' | sort; }

acknowledged() { ids "$work/talk.out" ack '"stage":"stored"' | wc -l; }

# The time until something is acknowledged again, in ms; at most 60 s.
until_acknowledged() {
  local before began
  before="$(acknowledged)" began="$(date +%s%3N)"
  for _ in $(seq 1200); do
    if (($(acknowledged) > before)); then echo $(($(date +%s%3N) - began)) && return; fi
    sleep 0.05
  done
  fail "nothing is acknowledged any more"
}

# Nothing but this script has ended a server, and no part of one has failed.
all_run() {
  local i
  for i in "${!node[@]}"; do
    kill -0 "${node[$i]}" 2>/dev/null || fail "n$i has ended by itself $1"
    ! grep -E '^error: |panicked at' "$work/n$i.log" >&2 || fail "n$i has met a fault of its own $1"
  done
}

chaos() {
  local victim took
  start_all 3
  # Who listens is in the lobby before anything is said there.
  # shellcheck disable=SC2046
  hear=("$BIN/chat-client" $(servers) --user hear --register --key-bits 2048 --home "$work/home-hear" --logs "$work/logs")
  "${hear[@]}" -q users >/dev/null
  "${hear[@]}" --json listen >"$work/hear.out" 2>"$work/hear.err" &
  others+=($!)
  talk
  wait_for "$work/hear.out" '"text":"line 3"'
  # shellcheck disable=SC2046
  "$BIN/chat-client" $(servers) --home "$work/home-emulator" --logs "$work/logs" --key-bits 2048 \
    --emulate "${CLIENTS:-12}" --messages "$messages" --rate 20 --duration "$((6 * $1 + 10))s" \
    >"$work/report" 2>"$work/report.err" &
  emulator=$!
  others+=("$emulator")
  wait_for "$work/report.err" "texts go to" 120
  for kill in $(seq "$1"); do
    all_run "before kill $kill"
    victim=$((kill % 6))
    case "$victim" in
      [123])
        kill -KILL "${node[$victim]}" || fail "n$victim has ended by itself before kill $kill"
        wait "${node[$victim]}" 2>/dev/null || true
        sleep 1 && start_node "$victim" && wait_node "$victim"
        took="$(until_acknowledged)" && echo "n$victim killed and started again: acknowledged again after $took ms"
        ;;
      4)
        redis-cli -s "$work/redis.sock" FLUSHALL >/dev/null
        took="$(until_acknowledged)" && echo "Redis emptied: acknowledged again after $took ms"
        ;;
      5)
        kill -KILL "$redis" && wait "$redis" 2>/dev/null || true
        rm -rf "$work/appendonlydir" && start_redis
        took="$(until_acknowledged)" && echo "Redis replaced by an empty one: acknowledged again after $took ms"
        ;;
      *)
        kill -KILL "$redis" && wait "$redis" 2>/dev/null || true
        sleep 1 && start_redis
        took="$(until_acknowledged)" && echo "Redis killed and started again: acknowledged again after $took ms"
        ;;
    esac
    sleep 2
  done
  all_run "at the end"
  touch "$work/enough"
  wait "$talker" || fail "who talks: $(tail -n 3 "$work/talk.err")"
  settle
  wait "$emulator" || { cat "$work/report" "$work/report.err" >&2 && fail "the report finds something wrong"; }
  grep -E '^lost=|^ok' "$work/report"
  alike
}

# All servers hold the same.
alike() {
  local i
  for _ in $(seq 100); do
    for i in "${!node[@]}"; do
      "$BIN/chat-server" cluster digest --data "$work/n$i/data" >"$work/digest$i"
    done
    if cmp -s "$work/digest1" "$work/digest2" && cmp -s "$work/digest1" "$work/digest3"; then
      echo "all servers hold the same: $(tail -n 1 "$work/digest1")"
      return
    fi
    sleep 0.2
  done
  fail "$(diff "$work/digest1" "$work/digest2") $(diff "$work/digest1" "$work/digest3")"
}

# What was acknowledged is what was heard, once each.
settle() {
  local said heard
  ids "$work/talk.out" ack '"stage":"stored"' >"$work/acknowledged"
  wait_for "$work/hear.out" "$(tail -n 1 <(grep '"stage":"stored"' "$work/talk.out") | grep -oE '"id":"[^"]+"')"
  for _ in $(seq 200); do
    ids "$work/hear.out" message '"from":"talk"' >"$work/heard"
    cmp -s "$work/acknowledged" "$work/heard" && break
    sleep 0.1
  done
  said="$(sha256sum <"$work/acknowledged")" heard="$(sha256sum <"$work/heard")"
  echo "acknowledged $(wc -l <"$work/acknowledged"), digest ${said:0:16}"
  echo "heard        $(wc -l <"$work/heard"), digest ${heard:0:16}"
  [[ "$said" == "$heard" ]] || fail "$(diff "$work/acknowledged" "$work/heard" | head -n 20)"
}

case "${1:-2}" in
  demo) demo ;;
  chaos) shift && chaos "${1:-6}" ;;
  *[!0-9]*) sed -n '2,7s/^# \?//p' "$0" >&2 && exit 2 ;;
  *)
    start_all "$1"
    for i in $(seq "${1:-2}"); do echo "n$i ${url[$i]}"; done
    echo "chat-client $(servers)--user NAME"
    echo "Ctrl-C stops all; logs are in $work"
    wait
    ;;
esac
