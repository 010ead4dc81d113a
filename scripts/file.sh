#!/usr/bin/env bash
# Measures a file of 1 GiB from one real client to another through a real server, all on this machine:
# the rate, the most memory that each of the three took, and what direct messages pay for it while it runs,
# against as many busy loops as there are processes that carry the file (pairs of runs, and the median).
#   scripts/file.sh [MIB] [PAIRS]             default: 1024 MiB, 5 pairs
set -euo pipefail
cd "$(dirname "$0")/.."

size="${1:-1024}"
pairs="${2:-5}"
cargo build --quiet --release --workspace --bins
bin="$(realpath "${CARGO_TARGET_DIR:-target}/release")"
work="$(mktemp -d)"
jobs_of=()
finish() {
  for job in "${jobs_of[@]}"; do
    kill "$job" 2>/dev/null || true
  done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

cd "$work"
mkdir shared fetched
head -c "$((size * 1048576))" /dev/urandom >shared/big.bin
echo 'big, big.bin' >shared/keyword.txt
"$bin/chat-server" --port 0 --data data --logs logs --log-format text >/dev/null 2>server.log &
server=$!
jobs_of+=("$server")
address=""
for _ in $(seq 300); do
  address="$(grep -oE 'ws://[0-9.:]+' server.log 2>/dev/null | head -n 1 || true)"
  [[ -n "$address" ]] && break
  sleep 0.1
done
export CHAT_SERVER="$address" CHAT_PASSWORD=velvet-anchor-7-gravel-trombone
client() { "$bin/chat-client" --logs logs --register --key-bits 2048 "$@"; }
"$bin/chat-client" --logs logs --register --key-bits 2048 --user alice --home alice share shared --json >share.log &
owner=$!
jobs_of+=("$owner")
for _ in $(seq 600); do
  grep -q '"shared"' share.log && break
  sleep 0.1
done

# The peak of resident memory in MiB, and the CPU in hundredths of a second.
peak() { awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$1/status"; }
used() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

client --user bob --home bob find big --json >/dev/null
before="$(used "$server") $(used "$owner")"
rest="$(peak "$server") $(peak "$owner")"
begin="$(date +%s.%N)"
"$bin/chat-client" --logs logs --user bob --home bob --json get alice big.bin -o fetched >get.log &
getter=$!
highest=0
while kill -0 "$getter" 2>/dev/null; do
  now="$(peak "$getter" 2>/dev/null || echo 0)"
  [[ "${now:-0}" -gt "$highest" ]] && highest="$now"
  sleep 0.05
done
wait "$getter"
end="$(date +%s.%N)"
cmp shared/big.bin fetched/big.bin
rm fetched/big.bin
awk -v size="$size" -v time="$(awk -v a="$begin" -v b="$end" 'BEGIN { print b - a }')" \
  -v before="$before" -v after="$(used "$server") $(used "$owner")" \
  -v rest="$rest" -v server="$(peak "$server")" -v owner="$(peak "$owner")" -v getter="$highest" '
  BEGIN {
    split(before, b, " "); split(after, a, " "); split(rest, r, " ")
    printf "{\"mib\":%d,\"seconds\":%.2f,\"mb_per_s\":%.0f,", size, time, size * 1.048576 / time
    printf "\"cpu_s\":{\"server\":%.2f,\"owner\":%.2f},", (a[1] - b[1]) / 100, (a[2] - b[2]) / 100
    printf "\"peak_mib\":{\"server\":%d,\"owner\":%d,\"receiver\":%d},", server, owner, getter
    printf "\"before_mib\":{\"server\":%d,\"owner\":%d}}\n", r[1], r[2]
  }'

# The p99 of direct messages in milliseconds.
p99() {
  "$bin/chat-load" dm --clients 20 --messages 400 --window 1 --batch 64 --prefix "$1" \
    --server "${address#ws://}" --pid "$server" | tee -a load.log | head -n 1 |
    grep -oE '"p99_ms":[0-9.]+' | cut -d : -f 2
}

# Direct messages while the file goes around and around.
beside_file() {
  touch going
  (while [[ -e going ]]; do
    client --user bob --home bob --json get alice big.bin -o fetched >/dev/null
    rm -f fetched/big.bin
  done) &
  local carrier=$!
  sleep 1
  p99 "$1"
  rm going
  # The last one ends by itself: a transfer that is cut would meet the next pair.
  wait "$carrier"
}

# The same beside three loops that do nothing: server, owner and receiver have company either way.
beside_loops() {
  local loops=()
  for _ in 1 2 3; do
    (while :; do :; done) &
    loops+=("$!")
  done
  p99 "$1"
  kill "${loops[@]}" 2>/dev/null || true
  wait "${loops[@]}" 2>/dev/null || true
}

for pair in $(seq "$pairs"); do
  loops="$(beside_loops "l$pair")"
  file="$(beside_file "f$pair")"
  echo "p99 of direct messages: $loops ms beside loops, $file ms beside the file" >&2
  awk -v file="$file" -v loops="$loops" 'BEGIN { printf "%.2f\n", file / loops }'
done | sort -n | sed -n "$(((pairs + 1) / 2))p" |
  sed 's/^/p99 of direct messages beside the file against busy loops, as a ratio: /'
