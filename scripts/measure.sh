#!/usr/bin/env bash
# Size and shape of the sources: lines without tests for each crate, lines of tests, how long functions are, and
# runs of equal lines.
#   scripts/measure.sh [COMMIT]    of the work folder, or of a commit
# Lines are those that are neither blank nor a comment. A test is what stands in `mod tests` of a file, in a file or
# folder called `tests`, or below `tests/`, `benches/` and `crates/testkit`. A run is six such lines or more that stand
# twice without imports; of a run of ten lines the pair counts once.
set -euo pipefail
cd "$(dirname "$0")/.."

source="."
if [[ $# -gt 0 ]]; then
  source="$(mktemp -d)"
  trap 'rm -rf "$source"' EXIT
  git archive "$1" crates tests | tar -x -C "$source"
fi
python3 - "$source" <<'END'
import collections, pathlib, re, sys

root = pathlib.Path(sys.argv[1])
RUN = 6
CLOSERS = re.compile(r"^[\])}>;,(\[{]*$")

def masked(text, keeps_strings=False):
    """The same text without comments, and for braces to count without what is in strings and characters."""
    pattern = r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\[^\n]{1,8}?|[^\\\n])\''
    blank = lambda m: "\n" * m.group().count("\n")
    keep = lambda m: blank(m) if m.group().startswith("/") else m.group()
    return re.sub(pattern, keep if keeps_strings else blank, text, flags=re.S)

def end_of(lines, start):
    """The line on which the block ends that begins on or after a line; its own line where there is none."""
    depth, opened = 0, False
    for number in range(start, len(lines)):
        for char in lines[number]:
            if char == ";" and not opened and depth == 0: return start
            if char in "{": depth, opened = depth + 1, True
            if char in "}": depth -= 1
        if opened and depth <= 0: return number
    return len(lines) - 1

def is_test(path):
    parts = path.relative_to(root).parts
    return parts[0] == "tests" or "testkit" in parts or "benches" in parts or "tests" in parts or path.stem == "tests"

code, tests, functions, windows = collections.Counter(), 0, [], collections.defaultdict(list)
for path in sorted([*root.glob("crates/**/*.rs"), *root.glob("tests/**/*.rs")]):
    if "target" in path.relative_to(root).parts: continue
    lines = masked(path.read_text()).split("\n")
    in_test = [is_test(path)] * len(lines)
    for number, line in enumerate(lines):
        if re.match(r"\s*(pub )?mod tests \{", line):
            for at in range(number, end_of(lines, number) + 1): in_test[at] = True
    whole = masked(path.read_text(), keeps_strings=True).split("\n")
    kept = [(n, l.strip()) for n, l in enumerate(whole) if l.strip()]
    own = sum(not in_test[n] for n, _ in kept)
    code[path.relative_to(root).parts[1]] += own if not is_test(path) else 0
    tests += len(kept) - own
    for number, line in enumerate(lines):
        if re.match(r"\s*(pub(\([a-z]+\))? )?(const )?(async )?(unsafe )?fn ", line) and not in_test[number]:
            end = end_of(lines, number)
            if end > number: functions.append((end - number + 1, f"{path.relative_to(root)}:{number + 1}"))
    body, importing = [], False
    for number, line in kept:
        importing = importing or re.match(r"(pub(\([a-z]+\))? )?use ", line) is not None
        if not importing and not in_test[number]: body.append((number, line))
        importing = importing and not line.endswith(";")
    for at in range(len(body) - RUN + 1):
        window = tuple(line for _, line in body[at:at + RUN])
        if sum(not CLOSERS.match(line) for line in window) > RUN // 2:
            windows[window].append((str(path.relative_to(root)), at, body[at][0] + 1))

pairs = set()
for places in windows.values():
    for i, (one, a, line) in enumerate(places):
        for other, b, second in places[i + 1:]: pairs.add((one, a, other, b, line, second))
starts = [p for p in sorted(pairs) if not any(q[:4] == (p[0], p[1] - 1, p[2], p[3] - 1) for q in pairs)] if len(pairs) < 5000 else sorted(pairs)
for name, count in sorted((+code).items()): print(f"{name:14} {count:7}")
print(f"{'without tests':14} {sum(code.values()):7}\n{'tests':14} {tests:7}")
lengths = sorted(length for length, _ in functions)
at = lambda share: lengths[min(len(lengths) - 1, len(lengths) * share // 100)]
print(f"functions      {len(lengths):7}, lines: median {at(50)}, p90 {at(90)}, longest {max(functions)[0]} ({max(functions)[1]})")
print(f"equal runs     {len(starts):7} pairs of {RUN} lines or more")
for one, _, other, _, line, second in starts: print(f"  {one}:{line} {other}:{second}")
END
