#!/usr/bin/env bash
# Every command that README.md or a page of docs/ names is run by the gate, or here. The table says which, and what
# is typed: some measure for minutes, and the least that shows that they work will do.
#   scripts/docs.sh             runs all that the gate does not, with release builds: half an hour and more
#   scripts/docs.sh WORD        only those with this word
#   scripts/docs.sh --check     runs nothing, and sees whether the table has every command (the gate does this)
set -euo pipefail
cd "$(dirname "$0")/.."

# What runs it | the command as it is named | what is typed here.
table='
gate | scripts/check.sh |
gate | cargo test --workspace --tests |
gate | cargo test --workspace --test simulation |
gate | node scripts/vectors.mjs |
gate | scripts/operations.sh |
gate | scripts/docs.sh |
here | scripts/check.sh --quick | scripts/check.sh --quick
here | scripts/slow-tests.sh | scripts/slow-tests.sh --workspace --test rules
here | scripts/slow-tests.sh --workspace --test suite | scripts/slow-tests.sh --workspace --test rules
here | cargo build --workspace --bins | cargo build --workspace --bins
here | cargo test --workspace --test suite rooms | cargo test --workspace --test suite rooms
here | cargo build --release -p chat-server -p chat-client | cargo build --release -p chat-server -p chat-client
here | bash scripts/demo.sh | bash scripts/demo.sh
here | scripts/demo.sh | scripts/demo.sh --per-client 5
here | CHAT_SIM_SEED=42 cargo test --workspace --test simulation -- worlds | CHAT_SIM_SEED=42 cargo test --workspace --test simulation -- worlds
here | CHAT_SIM_FIRST=400 CHAT_SIM_SEEDS=100000 cargo test --workspace --test simulation -- worlds | CHAT_SIM_FIRST=400 CHAT_SIM_SEEDS=500 cargo test --workspace --test simulation -- worlds
here | CHAT_SIM_KEYS=/tmp/keys CHAT_SIM_DIGESTS=1 cargo test --workspace --test simulation -- --nocapture worlds | CHAT_SIM_SEEDS=20 CHAT_SIM_KEYS="$(mktemp -d)/keys" CHAT_SIM_DIGESTS=1 cargo test --workspace --test simulation -- --nocapture worlds
here | CHAT_DRAW_PICTURES=1 cargo test --workspace --lib pictures | CHAT_DRAW_PICTURES=1 cargo test --workspace --lib pictures
here | cargo test --workspace --test suite drains -- --ignored --nocapture | cargo test --workspace --test suite drains -- --ignored --nocapture
here | cargo bench --workspace --bench room | cargo bench --workspace --bench room
here | cargo bench --workspace --profile dev --bench rates | cargo bench --workspace --profile dev --bench rates
here | cargo bench --workspace --bench offers | cargo bench --workspace --bench offers
here | scripts/evil-hub.sh | scripts/evil-hub.sh
here | scripts/evil-hub.sh "withheld removal" | scripts/evil-hub.sh "withheld removal"
here | scripts/cluster.sh | timeout --preserve-status --signal INT 20 scripts/cluster.sh; (($? == 130))
here | scripts/cluster.sh demo | scripts/cluster.sh demo
here | scripts/cluster.sh chaos | scripts/cluster.sh chaos 9
here | scripts/cluster.sh bench | scripts/cluster.sh bench
here | CHAT_OPENING_ALL=1 cargo test --release --workspace --test opening | CHAT_OPENING_ALL=1 cargo test --release --workspace --test opening
here | scripts/abuse.sh | ABUSE_SECONDS=2 scripts/abuse.sh 1 2
here | scripts/load.sh | scripts/load.sh
here | scripts/load.sh [signature|transport] | scripts/load.sh transport
here | scripts/load.sh slow | scripts/load.sh slow
here | scripts/load.sh drain | scripts/load.sh drain 2000
here | scripts/load.sh drain [COUNT] | scripts/load.sh drain 2000
here | scripts/load.sh http | scripts/load.sh http
here | scripts/file.sh | scripts/file.sh 64 1
here | scripts/fuzz.sh | scripts/fuzz.sh 5
here | scripts/fuzz.sh [SECONDS] | scripts/fuzz.sh 5
here | scripts/release.sh | scripts/release.sh
here | scripts/paint.sh | scripts/paint.sh --lines 10000 --keys 100
here | scripts/soak.sh [MINUTES] | scripts/soak.sh 1
'

# What the pages name: in single backquotes, and in blocks marked `sh`, without their comments.
named() {
  {
    grep -ohE '`[^`]+`' README.md docs/*.md | tr -d '`'
    awk 'FNR == 1 { inside = 0 } /^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md docs/*.md |
      sed 's/ *#.*//'
  } | grep -E '^([A-Z_]+=[^ ]+ )*(bash scripts/|cargo |node scripts/|scripts/[a-z-]+\.sh)' | sort -u
}

# One column of a line of the table, without the blanks around it. The bars in a command have none.
column() { awk -F ' [|] ?' -v n="$1" '{ print $n }' | sed 's/^ *//; s/ *$//'; }

missing="$(comm -23 <(named) <(grep . <<<"$table" | column 2 | sort -u))"
surplus="$(comm -13 <(named) <(grep . <<<"$table" | column 2 | sort -u))"
if [[ -n "$missing$surplus" ]]; then
  [[ -z "$missing" ]] || printf 'named, and not in the table of scripts/docs.sh: %s\n' "$missing" >&2
  [[ -z "$surplus" ]] || printf 'in the table of scripts/docs.sh, and named nowhere: %s\n' "$surplus" >&2
  exit 1
fi
[[ "${1:-}" != --check ]] || exit 0

failed=()
while IFS= read -r line; do
  typed="$(column 3 <<<"$line")"
  printf '\n== %s\n' "$typed"
  # A command that reads its input would eat the rest of the table.
  bash -c "$typed" </dev/null || failed+=("$typed")
done < <(grep '^here' <<<"$table" | grep -F -- "${1:-}")

if ((${#failed[@]})); then
  printf '\nfailed:\n' >&2
  printf '  %s\n' "${failed[@]}" >&2
  exit 1
fi
printf '\nevery command did what it is there for\n'
