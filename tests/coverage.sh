#!/bin/sh
# Prints which lines and branches of src the tests have reached, per layer, from what a run of the coverage preset left.
#   sh tests/coverage.sh            a table of the layers (sh tests/run.sh --coverage runs the tests first)
#   sh tests/coverage.sh --files    a line for each file
#   sh tests/coverage.sh FILE       the lines of one source file that were not reached, and the branches never taken
set -eu
cd "$(dirname "$0")/.."
out=${PORTICO_BUILD:-build-coverage}
[ -d "$out/CMakeFiles" ] || { echo "coverage: there is no $out: sh tests/run.sh --coverage" >&2; exit 2; }

# gcov FILES-OF-ONE-LAYER: its summary of each source file, as "layer file lines-of lines branches-of branches".
summary() {
  for notes in "$out"/CMakeFiles/portico_*.dir/src/*/*.gcda "$out"/CMakeFiles/portico.dir/src/*/*.gcda; do
    [ -f "$notes" ] || continue
    gcov --no-output --branch-probabilities "$notes" 2>/dev/null
  done | awk -v root="$PWD/" '
    /^File / { file = substr($0, 7, length($0) - 7); sub(root, "", file); ours = file ~ /^src\// }
    ours && /^Lines executed:/ { split($2, part, /[:%]/); lines = $4; hit = part[2] * lines / 100 }
    ours && /^Taken at least once:/ { split($4, part, /[:%]/); branches = $6; taken = part[2] * branches / 100 }
    ours && /^No branches/ { branches = taken = 0 }
    ours && (/^Taken at least once:/ || /^No branches/) {
      split(file, name, "/")
      printf "%s %s %d %d %d %d\n", name[2], file, lines, hit + 0.5, branches, taken + 0.5
      ours = 0
    }'
}

table() { # COLUMN-OF-NAME
  summary | awk -v by="$1" '
    function line(name, n, h, b, t) {
      printf "%-28s %6d %6.1f%% %8d %6.1f%%\n", name, n, n ? 100 * h / n : 100, b, b ? 100 * t / b : 100
    }
    BEGIN { printf "%-28s %6s %7s %8s %7s\n", "", "lines", "reached", "branches", "taken" }
    !($by in lines) { order[++count] = $by }
    { lines[$by] += $3; hit[$by] += $4; branches[$by] += $5; taken[$by] += $6
      all_lines += $3; all_hit += $4; all_branches += $5; all_taken += $6 }
    END {
      for (i = 1; i <= count; i++) { k = order[i]; line(k, lines[k], hit[k], branches[k], taken[k]) }
      line("all", all_lines, all_hit, all_branches, all_taken)
    }'
}

# Source lines that were never reached, or hold a branch that was never taken although the line was.
missing() { # FILE
  notes=$(find "$out/CMakeFiles" -path "*.dir/$1.gcda")
  gcov --stdout --branch-probabilities "$notes" 2>/dev/null | awk -v wanted="$1" '
    /^ *-: *0:Source:/ { ours = index($0, wanted) > 0 }
    !ours { next }
    /^ *#####:/ { print; next }
    /^branch/ { if ($4 == "0%" || /never executed/) { if (!told && reached) print text; told = 1 } next }
    /^ *[0-9-]+\*?: *[0-9]+:/ { text = $0; told = 0; reached = $1 !~ /^-/ }'
}

case ${1-} in
  '') table 1 ;;
  --files) table 2 ;;
  -*) echo "usage: sh tests/coverage.sh [--files | FILE]" >&2; exit 2 ;;
  *) missing "$1" ;;
esac
