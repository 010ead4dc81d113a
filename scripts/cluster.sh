#!/usr/bin/env bash
# Several servers that behave as one, on this machine: a Redis and N servers in a folder of their own.
#   scripts/cluster.sh [N]         starts N servers (2), prints their addresses; Ctrl-C stops all
#   scripts/cluster.sh demo        two people at two servers talk, join a room and follow each other; says ok, or what failed
#   scripts/cluster.sh chaos [N]   N times (9, one of each kind) a server or Redis is killed or stopped, both are killed, a
#                                  server is cut off from Redis, or Redis is emptied or replaced by an empty or an older
#                                  one, while clients talk; nothing may be lost, all servers hold the same, and something
#                                  is acknowledged again within 2 s (12 s where a server died together with Redis)
#   scripts/cluster.sh bench       with release builds: from one server to another, 20 producers, a room of 1,000 over three
#                                  servers, and servers that have nothing to do, with what is wanted of each
# BIN=folder of the programs (default: builds them); KEEP=1 leaves the folder, with all logs. The folder is in TMPDIR (/tmp):
# what is measured there is the disk on which that is.
set -euo pipefail
cd "$(dirname "$0")/.."

# Before anything is built or started.
if [[ ! "${1:-2}" =~ ^([0-9]+|demo|chaos|bench)$ || ! "${2:-1}" =~ ^[0-9]+$ ]]; then
  sed -n '2,13s/^# \?//p' "$0" >&2
  exit 2
fi
if ! command -v redis-server >/dev/null; then
  echo "redis-server is missing: apt-get install redis-server" >&2
  exit 77
fi
if [[ "${1:-}" =~ ^(chaos|bench)$ ]] && ! command -v python3 >/dev/null; then
  echo "python3 is missing: apt-get install python3" >&2
  exit 77
fi
if [[ -z "${BIN:-}" && "${1:-}" == bench ]]; then
  cargo build --quiet --release --workspace --bins
  BIN="${CARGO_TARGET_DIR:-target}/release"
elif [[ -z "${BIN:-}" ]]; then
  # Examples, of which there may be none, need what tests need: so nothing is compiled again that the tests have.
  cargo build --quiet --workspace --bins --examples
  BIN="${CARGO_TARGET_DIR:-target}/debug"
fi
BIN="$(cd "$BIN" && pwd)"
messages="$PWD/messages.txt"
work="$(mktemp -d "${TMPDIR:-/tmp}/chat-cluster.XXXXXX")"
export CHAT_PASSWORD="${CHAT_PASSWORD:-velvet-anchor-7-gravel-trombone}"
redis=""
node=() url=() port=() starts=() relay=()
others=()
# Whether servers are alone, and whether each has a relay to Redis of its own.
alone="" cuttable=""
# On which core servers run, and on which Redis and the load; measurements set them.
servers_on=() others_on=()

# Ends programs in order, and waits for them. One that was stopped is let go on, or it would never hear of it.
ends() {
  local pid
  for pid in "$@"; do kill -TERM "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null || true; done
  for pid in "$@"; do wait "$pid" 2>/dev/null || true; done
}

finish() {
  # Servers say in the log that they leave, so that goes last.
  [[ -z "$redis" ]] || kill -CONT "$redis" "${relay[@]}" 2>/dev/null || true
  ends "${others[@]}" "${node[@]}"
  # shellcheck disable=SC2086 # there may be none
  ends "${relay[@]}" $redis
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
  (cd "$work" && exec "${others_on[@]}" redis-server --port 0 --unixsocket "$work/redis.sock" --save "" --appendonly yes \
    --appendfsync always --maxmemory-policy noeviction --dir "$work") >>"$work/redis.log" 2>&1 &
  redis=$!
  for _ in $(seq 1500); do
    [[ "$(redis_says PING 2>/dev/null)" != PONG ]] || return 0
    kill -0 "$redis" 2>/dev/null || break
    sleep 0.02
  done
  fail "Redis does not answer: $(tail -n 3 "$work/redis.log")"
}

redis_says() { redis-cli -s "$work/redis.sock" "$@"; }

# Ends Redis as a power cut would.
kill_redis() {
  kill -KILL "$redis" || fail "Redis has ended by itself: $(tail -n 3 "$work/redis.log")"
  wait "$redis" 2>/dev/null || true
}

# A relay between server N and Redis: killed it cuts the server off, stopped it keeps what both say.
start_relay() {
  rm -f "$work/cut$1.sock"
  python3 - "$work/cut$1.sock" "$work/redis.sock" 2>>"$work/relay$1.log" <<'END' &
import asyncio, os, sys

near, far = sys.argv[1:]

async def pass_on(reader, writer):
    try:
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()
    except OSError:
        pass
    writer.close()

async def relay(reader, writer):
    try:
        from_redis, to_redis = await asyncio.open_unix_connection(far)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pass_on(reader, to_redis), pass_on(from_redis, writer))

async def main():
    # Whoever finds the socket finds somebody who listens.
    server = await asyncio.start_unix_server(relay, near + ".new")
    os.rename(near + ".new", near)
    await server.serve_forever()

asyncio.run(main())
END
  relay[$1]=$!
  for _ in $(seq 500); do
    [[ ! -S "$work/cut$1.sock" ]] || return 0
    sleep 0.02
  done
  fail "the relay of n$1 does not listen: $(tail -n 3 "$work/relay$1.log")"
}

# Starts server N, at the port that it had before. What it said before stays in its log.
start_node() {
  local shared=() socket="$work/redis.sock"
  [[ -z "$cuttable" ]] || socket="$work/cut$1.sock"
  [[ -n "$alone" ]] || shared=(--redis "unix://$socket" --node "n$1" --cluster-key "$work/cluster.key")
  mkdir -p "$work/n$1" && touch "$work/n$1.log"
  starts[$1]=$((${starts[$1]:-0} + 1))
  "${servers_on[@]}" "$BIN/chat-server" --port "${port[$1]:-0}" --data "$work/n$1/data" --logs "$work/n$1/logs" \
    --log-format text --limits off "${shared[@]}" >/dev/null 2>>"$work/n$1.log" &
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
  local i
  [[ -n "$alone" ]] || start_redis
  for i in $(seq "$1"); do
    [[ -z "$cuttable" ]] || start_relay "$i"
    start_node "$i"
    wait_node "$i"
  done
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

# Nothing but this script has ended a server, and no part of one has failed.
all_run() {
  local i
  for i in "${!node[@]}"; do
    kill -0 "${node[$i]}" 2>/dev/null || fail "n$i has ended by itself $1"
    ! grep -E '^error: |panicked at' "$work/n$i.log" >&2 || fail "n$i has met a fault of its own $1"
  done
}

# The kinds of harm, in turn.
kinds=(server_killed redis_killed redis_emptied redis_replaced server_stopped redis_stopped server_cut redis_older both_killed)
declare -A called=(
  [server_killed]="a server killed" [redis_killed]="Redis killed" [redis_emptied]="Redis emptied"
  [redis_replaced]="an empty Redis" [server_stopped]="a server stopped" [redis_stopped]="Redis stopped"
  [server_cut]="a server cut off" [redis_older]="an older Redis" [both_killed]="a server and Redis killed"
)
# What a cycle of each takes in seconds, as far as it is known before.
declare -A lasts=(
  [server_killed]=6 [redis_killed]=5 [redis_emptied]=4 [redis_replaced]=4 [server_stopped]=9 [redis_stopped]=9
  [server_cut]=9 [redis_older]=8 [both_killed]=18
)
# After how many ms something is to be acknowledged again: servers that live wait ten seconds for one that died.
declare -A limit=([both_killed]=12000)
declare -A times=() took=()

# How long harm lasts in seconds, by its kind and how often it came. Each tenth time a server is stopped for so long
# that the others take it for gone.
span() { if [[ "$1" == server_stopped && $(($2 % 10)) == 5 ]]; then echo 30; else echo 5; fi; }

# How much who talks has been told, before harm ends; and when it has ended.
mark() { told="$(stat -c %s "$work/talk.out")"; }
ended() { ended="$(date +%s%3N)"; }

# The time from the end of the harm until something was acknowledged that was not before, in ms; at most 60 s.
until_acknowledged() {
  for _ in $(seq 3000); do
    # Counted, since who is looked for only once would break the pipe.
    if tail -c "+$((told + 1))" "$work/talk.out" | grep -cF '"stage":"stored"' >/dev/null; then
      echo $(($(date +%s%3N) - ended)) && return
    fi
    sleep 0.02
    (($(date +%s%3N) - ended < 60000)) || break
  done
  fail "nothing is acknowledged any more"
}

# The server at which somebody talks: harm is done where it is felt.
where_talk() {
  local online i
  online="$(grep -F '"event":"connection"' "$work/talk.out" | grep -F '"state":"online"' | tail -n 1 || true)"
  for i in "${!port[@]}"; do
    if grep -qE ":${port[$i]}[/\"]" <<<"$online"; then echo "$i" && return; fi
  done
  echo 1
}

kill_node() {
  kill -KILL "${node[$1]}" || fail "n$1 has ended by itself"
  wait "${node[$1]}" 2>/dev/null || true
}

# A copy of what Redis has on its disk. It may begin other files meanwhile; then the copy is made again.
keep_files() {
  for _ in $(seq 50); do
    rm -rf "$work/kept"
    if cp -a "$work/appendonlydir" "$work/kept" 2>/dev/null &&
      cmp -s "$work/appendonlydir/appendonly.aof.manifest" "$work/kept/appendonly.aof.manifest"; then
      return
    fi
    sleep 0.1
  done
  fail "the files of Redis cannot be copied"
}

# Does harm of one kind, and comes back when it has ended. The second word is how often it came; `what` says what it was.
harm() {
  local victim seconds
  victim="$(where_talk)" seconds="$(span "$1" "$2")"
  case "$1" in
    server_killed)
      what="n$victim killed and started again"
      kill_node "$victim"
      sleep 1
      mark
      start_node "$victim"
      wait_node "$victim"
      ended
      ;;
    redis_killed)
      what="Redis killed and started again"
      kill_redis
      sleep 1
      mark
      start_redis
      ended
      ;;
    redis_emptied)
      what="Redis emptied"
      redis_says FLUSHALL >/dev/null
      ended
      # What had gone in just before is still acknowledged, and says nothing.
      sleep 0.1
      mark
      ;;
    redis_replaced)
      what="Redis replaced by an empty one"
      kill_redis
      rm -rf "$work/appendonlydir"
      mark
      start_redis
      ended
      ;;
    server_stopped)
      what="n$victim stopped for $seconds s"
      kill -STOP "${node[$victim]}" || fail "n$victim has ended by itself"
      sleep "$seconds"
      mark
      kill -CONT "${node[$victim]}"
      ended
      ;;
    redis_stopped)
      what="Redis stopped for $seconds s"
      kill -STOP "$redis" || fail "Redis has ended by itself"
      sleep "$seconds"
      mark
      kill -CONT "$redis"
      ended
      ;;
    server_cut)
      if (($2 % 2)); then
        what="n$victim cut off from Redis for $seconds s"
        kill -KILL "${relay[$victim]}" || fail "the relay of n$victim has ended by itself"
        wait "${relay[$victim]}" 2>/dev/null || true
        # Nobody is to be found there.
        rm -f "$work/cut$victim.sock"
        sleep "$seconds"
        mark
        start_relay "$victim"
        ended
      else
        what="nothing between n$victim and Redis for $seconds s"
        kill -STOP "${relay[$victim]}" || fail "the relay of n$victim has ended by itself"
        sleep "$seconds"
        mark
        kill -CONT "${relay[$victim]}"
        ended
      fi
      ;;
    redis_older)
      what="Redis put back by 3 s"
      keep_files
      sleep 3
      kill_redis
      rm -rf "$work/appendonlydir"
      mv "$work/kept" "$work/appendonlydir"
      mark
      start_redis
      ended
      ;;
    both_killed)
      # Who talks does not look for another server, and hears at once when the others go on.
      victim=$((victim % 3 + 1)) dead="$victim"
      what="n$victim and Redis killed, and only Redis started again"
      kill_node "$victim"
      kill_redis
      mark
      start_redis
      ended
      ;;
  esac
}

# What the emulated clients say at their end.
emulated() {
  wait "$emulator" || { cat "$work/report" "$work/report.err" >&2 && fail "the report finds something wrong"; }
  emulator=""
}

chaos() {
  local kill kind number ms within dead what told ended late=0 seconds=20
  for kill in $(seq "$1"); do
    kind="${kinds[$(((kill - 1) % ${#kinds[@]}))]}"
    seconds=$((seconds + ${lasts[$kind]} + $(span "$kind" $(((kill - 1) / ${#kinds[@]} + 1))) - 5))
  done
  cuttable=1
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
    --emulate "${CLIENTS:-12}" --messages "$messages" --rate 20 --duration "${seconds}s" \
    >"$work/report" 2>"$work/report.err" &
  emulator=$!
  others+=("$emulator")
  wait_for "$work/report.err" "texts go to" 120
  for kill in $(seq "$1"); do
    all_run "before harm $kill"
    [[ -z "$emulator" ]] || kill -0 "$emulator" 2>/dev/null || emulated
    kind="${kinds[$(((kill - 1) % ${#kinds[@]}))]}"
    number=$((${times[$kind]:-0} + 1)) within="${limit[$kind]:-2000}" dead=""
    harm "$kind" "$number"
    ms="$(until_acknowledged)" || exit 1
    times[$kind]="$number" took[$kind]+=" $ms"
    if ((ms <= within)); then
      echo "$kill of $1: $what: acknowledged again after $ms ms"
    else
      late=$((late + 1))
      echo "$kill of $1: $what: acknowledged again after $ms ms, more than $within"
    fi
    if [[ -n "$dead" ]]; then start_node "$dead" && wait_node "$dead"; fi
    sleep 2
  done
  all_run "at the end"
  touch "$work/enough"
  wait "$talker" || fail "who talks: $(tail -n 3 "$work/talk.err")"
  settle
  [[ -z "$emulator" ]] || emulated
  grep -E '^lost=|^ok' "$work/report"
  alike
  table
  ((late == 0)) || fail "$late times it took longer than it may until something was acknowledged again"
}

# How often there was harm of each kind, and how long it took until something was acknowledged again.
table() {
  local kind
  printf '\n%-26s %5s %9s %8s %8s\n' "ms until the first ACK" times median worst "at most"
  for kind in "${kinds[@]}"; do
    [[ -n "${times[$kind]:-}" ]] || continue
    # shellcheck disable=SC2086 # figures are words
    printf '%-26s %5d %9d %8d %8d\n' "${called[$kind]}" "${times[$kind]}" "$(printf '%s\n' ${took[$kind]} | middle)" \
      "$(printf '%s\n' ${took[$kind]} | sort -n | tail -n 1)" "${limit[$kind]:-2000}"
  done
}

# The median of figures, one a line.
middle() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

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
  echo "lost         $(comm -23 <(uniq "$work/acknowledged") <(uniq "$work/heard") | wc -l)"
  echo "doubled      $(uniq -d "$work/heard" | wc -l)"
  [[ "$said" == "$heard" ]] || fail "$(diff "$work/acknowledged" "$work/heard" | head -n 20)"
}

# Ends all servers and Redis, and begins anew: so many servers that share a log, or one alone. Nothing pays for what was
# before.
fresh() {
  ends "${node[@]}"
  # shellcheck disable=SC2086 # there may be none
  ends $redis
  rm -rf "${work:?}"/*
  redis="" node=() url=() port=() starts=() alone=""
  if [[ "$1" == alone ]]; then alone=1 && start_all 1; else start_all "$1"; fi
}

# One load on all servers; its figures are what `figure NAME` says.
load() {
  local i told=()
  for i in "${!url[@]}"; do told+=(--server "${url[$i]#ws://}" --pid "${node[$i]}"); done
  "${others_on[@]}" "$BIN/chat-load" "$@" "${told[@]}" >"$work/load.out" 2>"$work/load.err" ||
    fail "the load: $(cat "$work/load.err")"
}

figure() { grep -oE "\"$1\":[0-9.]+" "$work/load.out" | head -n 1 | cut -d : -f 2; }

# What a sync of 4 KiB takes on the disk of Redis: median and p99 of 200, in ms.
sync_of_disk() {
  python3 - "$work/sync" <<'END'
import os, sys, time

file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY, 0o600)
took = []
for _ in range(200):
    begun = time.perf_counter()
    os.write(file, bytes(4096))
    os.fdatasync(file)
    took.append((time.perf_counter() - begun) * 1e3)
took.sort()
print(f"p50 {took[100]:.2f} ms, p99 {took[198]:.2f} ms")
END
}

# pairs SERVERS FIGURE LOAD…: three pairs of rounds with the same load, at so many servers that share a log and at one
# alone, in changing order. The medians of that figure are in `shared` and `single`, that of the first by the second
# in `ratio`.
pairs() {
  local servers="$1" wanted="$2" order how ratios=() all_shared=() all_single=()
  local -A got
  shift 2
  for order in "alone $servers" "$servers alone" "alone $servers"; do
    for how in $order; do
      fresh "$how"
      load "$@"
      got[$how]="$(figure "$wanted")"
      # A message that went nowhere would make the others look cheap.
      [[ "$1" != room ]] || (($(figure delivered) == people_told)) || fail "only $(figure delivered) of $people_told came"
    done
    all_shared+=("${got[$servers]}") all_single+=("${got[alone]}")
    ratios+=("$(awk -v a="${got[$servers]}" -v b="${got[alone]}" 'BEGIN { printf "%.2f", a / b }')")
  done
  shared="$(printf '%s\n' "${all_shared[@]}" | middle)" single="$(printf '%s\n' "${all_single[@]}" | middle)"
  ratio="$(printf '%s\n' "${ratios[@]}" | middle)"
}

# CPU time that server N has taken, in ticks of the kernel.
ticks() { awk '{ print $14 + $15 }' "/proc/${node[$1]}/stat"; }

bench() {
  local shared single ratio people_told sync i before=() cpu="" seconds=10

  # One message under way at a time.
  fresh 2
  sync="$(sync_of_disk)"
  load dm --clients 2 --messages 1000 --window 1 --batch 64
  echo "from server 1 to server 2: p50 $(figure p50_ms) ms, p99 $(figure p99_ms) ms (wanted: at most 2 and 15);" \
    "a sync of this disk: $sync"

  # Servers have one core, Redis and the load the other: what the servers do is compared.
  if (($(nproc) > 1)); then servers_on=(taskset -c 0) others_on=(taskset -c 1); fi
  pairs 1 sent_per_s ack --clients 20 --messages 4000 --batch 64
  echo "20 producers: $shared acknowledged a second with Redis, $single without, ratio $ratio (wanted: at least 0.7)"

  people_told=$((4 * 250 * 996))
  pairs 3 server_cpu_s_per_million room --clients 1000 --publishers 4 --messages 250
  echo "a room of 1,000: $shared us of CPU for each delivery at three servers together, $single at one without Redis," \
    "ratio $ratio (wanted: at most 1.1)"
  servers_on=() others_on=()

  fresh 2
  # What a start brings with it is over then.
  sleep 5
  for i in "${!node[@]}"; do before[$i]="$(ticks "$i")"; done
  redis_says INFO all | tr -d '\r' >"$work/before"
  sleep "$seconds"
  redis_says INFO all | tr -d '\r' >"$work/after"
  for i in "${!node[@]}"; do
    cpu+="$(awk -v ticks="$(($(ticks "$i") - before[i]))" -v each="$(getconf CLK_TCK)" -v seconds="$seconds" -v name="n$i" \
      'BEGIN { printf " %s %.1f %%", name, ticks / each / seconds * 100 }')"
  done
  awk -F '[:=,]' -v share="$((seconds * ${#node[@]}))" -v cpu="$cpu" '
    /^total_commands_processed:/ { total = $2 - total }
    /^cmdstat_/ { calls[substr($1, 9)] = $3 - calls[substr($1, 9)] }
    END {
      # One of them was to ask for this.
      printf "nothing to do: %.1f commands of Redis a second and server (wanted: at most 10;", (total - 1) / share
      calls["info"]--
      for (name in calls) if (calls[name] / share >= 0.05) printf " %s %.1f", name, calls[name] / share
      printf "), CPU%s (wanted: at most 0.5 %%)\n", cpu
    }' "$work/before" "$work/after"
}

case "${1:-2}" in
  demo) demo ;;
  chaos) shift && chaos "${1:-${#kinds[@]}}" ;;
  bench) bench ;;
  *)
    start_all "${1:-2}"
    for i in $(seq "${1:-2}"); do echo "n$i ${url[$i]}"; done
    echo "chat-client $(servers)--user NAME"
    echo "Ctrl-C stops all; logs are in $work"
    wait
    ;;
esac
