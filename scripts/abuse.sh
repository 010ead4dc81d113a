#!/usr/bin/env bash
# Hostile accounts against a server with its usual budgets: one line an attack. The attacker has one core,
# the server and a pair of people who write to each other the other one; in the run to compare with the
# first core computes something else. Prints the server's memory before and after, the pair's p99 beside
# that of the quiet run, what the attacker got done, and whether a newcomer comes in afterwards.
#   scripts/abuse.sh [ROW…]        rows 1 to 15 and signups (default: all); ABUSE_SECONDS=24 for each, BIN=folder of
#                                  the programs (default: builds them for release)
# Rows 13 and 15 are about real clients, on the attacker's core: what the screen of one in the lobby shows of
# epochs that do not open, and what an agent and a share keep of 66 MB that are written to each. They, the
# crowd of row 14 and the thousand of `signups` last until they are done, some minutes.
# Before each row the same pair is measured without the attack. A row that is only slow is run three times, and the
# medians decide, of both figures.
# Ends with 1 if memory grew by more than 64 MiB, the server is gone, the p99 more than doubled (from 5 ms on) or
# the pair wrote less than half as many letters, the newcomer could not come in, the attack itself broke (the server
# took nothing of it, or it ended with an error), or what one of those rows is for did not hold.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds="${ABUSE_SECONDS:-24}"
rows=("$@")
[[ ${#rows[@]} -gt 0 ]] || rows=(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 signups)
if [[ -z "${BIN:-}" ]]; then
  cargo build --quiet --release --workspace --bins
  BIN="${CARGO_TARGET_DIR:-target}/release"
fi
# This shell is on the attacker's side, with all that it starts: what it looks for, and how often, is nothing that the
# server and the pair pay for.
taskset -pc 1 $$ >/dev/null
work="$(mktemp -d)"
server=""
finish() {
  if [[ -n "$server" ]]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=""
  fi
}
# Ends whatever this shell has started, also when it breaks off. A subshell lists the jobs of its parent, too, and
# names its own.
end_jobs() {
  kill $(jobs -p) 2>/dev/null || true
  wait
}
trap 'finish; end_jobs; rm -rf "$work"' EXIT

address=""
start() {
  finish
  rm -rf "$work"/*
  taskset -c 0 "$BIN/chat-server" --port 0 --data "$work/data" --logs "$work/logs" --log-format text \
    --trusted-proxy 127.0.0.1 \
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
rss() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/${1:-$server}/status"; }
peak() { awk '/^VmHWM/ {print int($2 / 1024)}' "/proc/$1/status"; }
attack() { taskset -c 1 "$BIN/chat-abuse" --server "$address" --seconds "$seconds" attack "$1" 2>&1; }

# A client becomes the (sub)shell that it is called in.
export CHAT_PASSWORD=velvet-anchor-7-gravel-trombone
client() {
  local user="$1"
  shift
  exec taskset -c 1 "$BIN/chat-client" --server "ws://$address" --user "$user" --register --key-bits 2048 \
    --home "$work/home-$user" --logs "$work/logs" "$@"
}

# Waits until so many lines of a file have these words.
wait_for() {
  for _ in $(seq 3000); do
    [[ "$(grep -c -- "$2" "$1" 2>/dev/null || true)" -ge "${3:-1}" ]] && return
    sleep 0.1
  done
  echo "fewer than ${3:-1} times $2"
  return 1
}

# What the screen of somebody in the lobby shows: a line at once, one with the number a minute later, and
# after three keys that key's next ones are not tried. What they say there meanwhile is heard.
screen() {
  local watcher hearer alarms keys heard done_ held=0
  trap 'kill ${watcher:-} ${hearer:-} 2>/dev/null || true' EXIT
  mkfifo "$work/keyboard"
  client watcher --json <"$work/keyboard" >"$work/screen" 2>"$work/watcher.err" &
  watcher=$!
  exec 3>"$work/keyboard"
  client hearer listen --json >"$work/heard" 2>"$work/hearer.err" 3>&- &
  hearer=$!
  wait_for "$work/screen" '"joined"' || held=1
  wait_for "$work/heard" '"joined"' || held=1
  (sleep 20; echo 'still here' >&3) &
  done_="$(attack 13)" || held=1
  exec 3>&-
  wait "$watcher" || held=1
  kill -TERM "$hearer"
  wait "$hearer" || true
  heard="$(grep -c 'still here' "$work/heard" || true)"
  alarms="$(grep -c '"event":"alarm"' "$work/screen" || true)"
  keys="$(awk -F'"count":' '/"event":"alarm"/ {sum += $2} END {print sum + 0}' "$work/screen")"
  echo "$alarms alarms on the screen about $keys keys in $seconds s, heard $heard of 1; $done_"
  [[ "$held" == 0 && "$heard" == 1 && "$keys" == 3 && "$alarms" -ge 1 && "$alarms" -le $((1 + seconds / 60)) ]]
}

# Somebody writes 66 MB to a person who only runs an agent and as much to one who only shares: neither
# grows, and of it nothing is left for who listens there later, or the newest 64.
unshown() {
  local agent share writer agent_base share_base agent_peak share_peak agent_left share_left held=0
  local round lines=60 rounds=19 long
  trap 'kill ${agent:-} ${share:-} ${writer:-} 2>/dev/null || true' EXIT
  mkdir "$work/shared"
  echo plan >"$work/shared/plan.txt"
  echo plan, plan.txt >"$work/shared/keyword.txt"
  mkfifo "$work/keyboard"
  client machine agent 2>"$work/agent.err" >/dev/null &
  agent=$!
  client sharer share "$work/shared" --to ALL --json >"$work/share.out" 2>"$work/share.err" &
  share=$!
  wait_for "$work/agent.err" 'accepting commands' && wait_for "$work/share.out" '"shared"' || held=1
  client writer <"$work/keyboard" >"$work/writer.out" 2>"$work/writer.err" &
  writer=$!
  exec 3>"$work/keyboard"
  wait_for "$work/writer.out" 'connected to' || held=1
  agent_base="$(rss "$agent")" share_base="$(rss "$share")"
  long="$(head -c 58000 /dev/zero | tr '\0' x)"
  for round in $(seq "$rounds"); do
    for _ in $(seq "$lines"); do
      printf 'machine*%s\nsharer*%s\n' "$long" "$long" >&3
    done
    # A mailbox takes only so much of one sender at a time.
    wait_for "$work/writer.out" 'delivered to machine' $((round * lines)) || held=1
    wait_for "$work/writer.out" 'delivered to sharer' $((round * lines)) || held=1
    [[ "$held" == 0 ]] || break
  done
  exec 3>&-
  wait "$writer" || held=1
  agent_peak="$(peak "$agent")" share_peak="$(peak "$share")"
  kill -TERM "$agent" "$share"
  # Who is ended by SIGTERM ends with 130.
  for stopped in "$agent" "$share"; do wait "$stopped" || [[ $? == 130 ]] || held=1; done
  agent_left="$( (client machine listen --for 2s --json 2>/dev/null) | grep -c '"event":"message"' || true)"
  share_left="$( (client sharer listen --for 2s --json 2>/dev/null) | grep -c '"event":"message"' || true)"
  echo "$((rounds * lines * ${#long} / 1000000)) MB to each: agent $agent_base -> $agent_peak MiB at most, $agent_left" \
    "left; share $share_base -> $share_peak MiB at most, $share_left left"
  [[ "$held" == 0 && $((agent_peak - agent_base)) -le 64 && $((share_peak - share_base)) -le 64 &&
    "$agent_left" == 0 && "$share_left" -le 64 ]]
}

# What the pair takes beside a core that only computes: half the percentile, the percentile, letters a second.
control() {
  local quiet
  taskset -c 1 "$BIN/chat-abuse" --seconds $((usual + 1)) burn >/dev/null &
  quiet="$(taskset -c 0 "$BIN/chat-abuse" --server "$address" --seconds "$usual" pair)"
  wait $!
  echo "$quiet"
}

# One run of a row, printed. 0: it holds; 2: all but the time of the pair does; 1: it does not.
run_row() {
  local row="$1" before after pair p99 rate came held=yes done_ watching quiet_p99 quiet_rate verdict
  start
  read -r _ quiet_p99 quiet_rate <<<"$(control)"
  before="$(rss)"
  pair="$work/pair"
  # They write until the attack is over.
  (exec taskset -c 0 "$BIN/chat-abuse" --server "$address" --seconds 3600 pair >"$pair" 2>&1) &
  watching=$!
  case "$row" in
    13) done_="$(screen)" || held=no ;;
    15) done_="$(unshown)" || held=no ;;
    *) done_="$(attack "$row")" || held=no ;;
  esac
  kill -TERM "$watching" 2>/dev/null || true
  wait "$watching" || true
  # Memory goes back after a second.
  sleep 3
  after="$(rss 2>/dev/null)" || after=gone
  p99=none rate=none
  read -r _ p99 rate <"$pair" || true
  came="$(timeout 60 taskset -c 1 "$BIN/chat-abuse" --server "$address" newcomer 2>&1 || echo FAILED)"
  verdict="$(awk -v a="$after" -v b="$before" -v p="$p99" -v q="$quiet_p99" -v c="$came" \
    -v held="$held" -v row="$row" -v rate="$rate" -v quiet_rate="$quiet_rate" 'BEGIN {
    limit = 2 * q; if (limit < 5) limit = 5
    # Who comes after five thousand people is told that the lobby is full, and nobody else is.
    told = (row == 14) == (c ~ /lobby is full/)
    number = "^[0-9.]+$"
    measured = a ~ number && b ~ number && p ~ number && rate ~ number && q ~ number
    holds = measured && a - b <= 64 && p + 0 > 0 && rate >= quiet_rate / 2 && held == "yes" && told && c !~ /FAILED|error/
    print holds ? (p + 0 <= limit ? "ok" : "slow") : "FAILED" }')"
  printf 'row %2s %-6s %4s -> %4s MiB, p99 %8s ms (quiet %s), %s letters/s (quiet %s), newcomer: %s; %s\n' \
    "$row" "$verdict" "$before" "$after" "$p99" "$quiet_p99" "$rate" "$quiet_rate" "$came" "$done_"
  attacked+=("$p99") quiet+=("$quiet_p99")
  case "$verdict" in ok) return 0 ;; slow) return 2 ;; *) return 1 ;; esac
}

# The one in the middle of three.
median() { printf '%s\n' "$@" | sort -n | sed -n 2p; }

failed=0
usual="$seconds"
for row in "${rows[@]}"; do
  case "$row" in
    # Longer than the minute for which alarms are counted together.
    13) seconds=$((usual > 75 ? usual : 75)) ;;
    # At most: these end when they are done.
    14 | signups) seconds=1200 ;;
    *) seconds="$usual" ;;
  esac
  # The 99th percentile of some hundred letters is the third or fourth of them, with the attack and without it: one
  # stall of the machine makes or breaks it. A row that is slow once is run twice more, and the medians are compared.
  attacked=() quiet=()
  for run in 1 2 3; do
    verdict=0
    run_row "$row" || verdict=$?
    [[ "$verdict" != 1 ]] || failed=1
    [[ "$verdict" == 2 || ("$verdict" == 0 && "$run" -gt 1) ]] || break
  done
  if [[ "${#attacked[@]}" == 3 ]]; then
    middle="$(median "${attacked[@]}")" middle_quiet="$(median "${quiet[@]}")"
    verdict="$(awk -v p="$middle" -v q="$middle_quiet" \
      'BEGIN { limit = 2 * q; if (limit < 5) limit = 5; print p <= limit ? "ok" : "slow" }')"
    printf 'row %2s %-6s by the medians of three: p99 %s ms (quiet %s)\n' "$row" "$verdict" "$middle" "$middle_quiet"
    [[ "$verdict" == ok ]] || failed=1
  fi
done
exit "$failed"
