#!/usr/bin/env bash
# The twenty slowest tests, and how long all tests take if they are run one after the other.
#   scripts/slow-tests.sh                             all tests
#   scripts/slow-tests.sh --workspace --test suite    those that these options of `cargo test` name
set -euo pipefail
cd "$(dirname "$0")/.."

options=("$@")
if [[ $# -eq 0 ]]; then options=(--workspace --tests --no-fail-fast); fi
told="$(mktemp)"
trap 'rm -f "$told"' EXIT

# Times of single tests are an unstable option of the test runner. The variable unlocks it in the test programs
# alone: the compiler does not see it, and nothing is built anew.
runner='target."cfg(all())".runner = ["env", "RUSTC_BOOTSTRAP=1"]'
status=0
cargo test "${options[@]}" --config "$runner" -- -Z unstable-options --report-time >"$told" || status=$?
grep -v ' \.\.\. ok' "$told" || true
printf '\nthe slowest:\n'
sed -n 's/^test \(.*\) \.\.\. [a-zA-Z]* <\([0-9.]*\)s>$/\2 \1/p' "$told" | sort -rn |
  awk 'NR <= 20 { printf "%8.1f s  %s\n", $1, $2 } { sum += $1 } END { printf "%8.1f s  all %d\n", sum, NR }'
exit "$status"
