#!/usr/bin/env bash
# Runs each fuzz target for SECONDS (60 unless told), beginning with its corpus in fuzz/corpus. What is
# new goes to fuzz/target/corpus; a finding to fuzz/artifacts, and the script ends with 1.
# Needs a nightly toolchain and cargo-fuzz; without them it says so and is no failure.
# The sources hold no unsafe code, so no sanitizer runs beside the checks of the targets.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds="${1:-60}"
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "skipped: no nightly toolchain"
  exit 0
fi
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "skipped: no cargo-fuzz (cargo install cargo-fuzz)"
  exit 0
fi

cargo +nightly fuzz build --sanitizer none
failed=0
for file in fuzz_targets/*.rs; do
  target="$(basename "$file" .rs)"
  found="target/corpus/$target"
  mkdir -p "$found"
  if log="$(cargo +nightly fuzz run --sanitizer none "$target" "$found" "corpus/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -print_final_stats=1 2>&1)"; then
    runs="$(grep -o 'number_of_executed_units: *[0-9]*' <<<"$log" | grep -o '[0-9]*$')"
    printf '%-16s ok, %s runs\n' "$target" "$runs"
  else
    failed=1
    printf '%-16s FAILED\n%s\n' "$target" "$(tail -n 30 <<<"$log")"
  fi
done
exit "$failed"
