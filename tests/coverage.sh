#!/bin/sh
# Prints which lines and branches of src the tests have reached, per layer, from what a run of the coverage preset left.
#   sh tests/coverage.sh            a table of the layers (sh tests/run.sh --coverage runs the tests first)
#   sh tests/coverage.sh --files    a line for each file
#   sh tests/coverage.sh FILE       the lines of one source file that were not reached, or have a branch not taken
#   sh tests/coverage.sh --reasons  what is excused, and why; excuses without need
#   sh tests/coverage.sh --check    fails on too little of everything, and on anything open where `strict` says
#
# What no test can reach says so at the end of its line: /* uncovered: REASON */. That excuses the line or, behind an
# opening brace, the block. A reason "race: ..." is another thread's timing, which now and then brings it about; the
# others are about what this system never answers. Everything else is tested, or deleted.
#
# The failing side of a CHECK is not counted at all: it ends the program, which no run survives, and the sides that hold
# are counted where they are. Nor is the value of luaL_argerror, which jumps. The branches that gcov has for a line are
# those of its && and || too.
set -eu
cd "$(dirname "$0")/.."
out=${PORTICO_BUILD:-build-coverage}
lines_min=97 branches_min=93

# The core of the port and each parser: anything open in them fails the check. What is open elsewhere is printed: there
# another thread's timing may decide more than is marked.
strict='^src/(base/|port/|(os|net)/address|os/sim_address|net/chunks|cli/(misuse|options|script)'
strict="$strict|host/simulation_options|vm/(connection|handlers|module|server|timer))"

[ -d "$out/CMakeFiles" ] || { echo "coverage: there is no $out: sh tests/run.sh --coverage" >&2; exit 2; }

# A line for each source line with code: file, number, reached (0 or 1), branches, branches taken, reason of an excuse,
# text; between them tabs. What several programs compile, such as a header, is there once, with the best of each.
facts() {
  for notes in "$out"/CMakeFiles/portico_*.dir/src/*/*.gcda "$out"/CMakeFiles/portico.dir/src/*/*.gcda; do
    [ -f "$notes" ] || continue
    gcov --stdout --branch-probabilities --branch-counts "$notes" 2>/dev/null ||
      echo "coverage: $notes does not fit its program: run the tests anew" >&2
  done | awk -v root="$PWD/" '
    function excuse(text,    at) { # sets reason; a block is excused up to the brace at the indent where it began
      reason = ""
      if (block != "") {
        reason = block
        if (substr(text, 1, indent + 1) ~ /^ *}$/) block = ""
      }
      at = index(text, "/* uncovered: ")
      if (at == 0) return
      reason = substr(text, at + 14)
      sub(/ *\*\/ *$/, "", reason)
      if (substr(text, 1, at - 1) !~ /{ *$/) return
      block = reason
      match(text, /^ */)
      indent = RLENGTH
    }
    /^ *-: *0:Source:/ {
      file = substr($0, index($0, "Source:") + 7)
      sub(root, "", file)
      ours = file ~ /^src\//
      block = ""
    }
    !ours { next }
    /^branch/ {
      if (!((key, $2) in best)) { best[key, $2] = 0; branches[key]++ }
      if ($4 > 0 && !best[key, $2]) { best[key, $2] = 1; taken[key]++ }
      next
    }
    match($0, /^ *[^ ]+: *[0-9]+:/) && $1 !~ /^(function|call|unconditional)/ {
      split($0, part, ":")
      line = part[2] + 0
      text = substr($0, RLENGTH + 1)
      key = file SUBSEP line
      if (line == 0) next
      excuse(text)
      if (part[1] ~ /-$/) next
      if (!(key in texts)) { order[++count] = key; texts[key] = text; reasons[key] = reason }
      if (part[1] ~ /[0-9]\*?$/) reached[key] = 1
    }
    END {
      for (i = 1; i <= count; i++) {
        key = order[i]
        text = texts[key]
        if (text ~ /CHECK\(!"/ || text ~ /^ *}$/) continue # behind a call that never returns
        if (text ~ /CHECK\(/) branches[key] = taken[key]
        if (text ~ /luaL_argcheck\(/) branches[key] -= 2
        split(key, at, SUBSEP)
        printf "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", at[1], at[2], reached[key], branches[key], taken[key], reasons[key], text
      }
    }'
}

# Reads facts. Prints a table, a line for each layer (1) or file (2).
table() {
  awk -F '\t' -v by="$1" '
    function row(name, n, h, b, t, e, o) {
      printf "%-30s %6d %6.1f%% %8d %6.1f%% %7d %5d\n", name, n, n ? 100 * h / n : 100, b, b ? 100 * t / b : 100, e, o
    }
    function add(k, excused, open) {
      lines[k]++; hit[k] += $3; all[k] += $4; taken[k] += $5; excuses[k] += excused; opens[k] += open
    }
    {
      split($1, name, "/")
      k = by == 1 ? name[2] : $1
      if (!(k in lines)) order[++count] = k
      lacks = $4 - $5 + !$3
      add(k, $6 != "" ? lacks : 0, $6 == "" ? lacks : 0)
      add("all", $6 != "" ? lacks : 0, $6 == "" ? lacks : 0)
    }
    END {
      printf "%-30s %6s %7s %8s %7s %7s %5s\n", "", "lines", "reached", "branches", "taken", "excused", "open"
      order[++count] = "all"
      for (i = 1; i <= count; i++) { k = order[i]; row(k, lines[k], hit[k], all[k], taken[k], excuses[k], opens[k]) }
    }'
}

# Reads facts. Prints what is open: what was not reached (#####), or how many branches of how many were taken.
open_lines() {
  awk -F '\t' '
    $6 == "" && ($3 == 0 || $5 < $4) {
      printf "%s:%d: %s %s\n", $1, $2, $3 ? $5 "/" $4 : "#####", $7
    }'
}

# Reads facts. Prints what is excused, and why; of what has no more need of it, that.
reasons() {
  awk -F '\t' '
    $6 == "" { next }
    { k = $1 "\t" $6; if (!(k in first)) { first[k] = $2; order[++count] = k }; lacks[k] += $4 - $5 + !$3 }
    END {
      for (i = 1; i <= count; i++) {
        split(order[i], part, "\t")
        stale = !lacks[order[i]] && part[2] !~ /^race: /
        printf "%s:%d: %s%s\n", part[1], first[order[i]], stale ? "STALE, it was covered: " : "", part[2]
      }
    }'
}

# Reads facts. Says whether there is enough of everything.
enough() {
  awk -F '\t' -v lines_min="$lines_min" -v branches_min="$branches_min" '
    { lines++; hit += $3; branches += $4; taken += $5 }
    END {
      printf "coverage: %.1f %% of lines (at least %d), %.1f %% of branches (at least %d)\n",
             100 * hit / lines, lines_min, 100 * taken / branches, branches_min
      exit 100 * hit < lines_min * lines || 100 * taken < branches_min * branches
    }'
}

check() {
  all=$(facts)
  bad=0
  printf '%s\n' "$all" | enough || bad=1
  for file in src/*/*.c; do
    case $file in *_win32.c | */port_iocp.c) continue ;; esac
    printf '%s\n' "$all" | grep -q "^$file	" || { echo "coverage: nothing of $file was run"; bad=1; }
  done
  open=$(printf '%s\n' "$all" | open_lines)
  printf '%s\n' "$open" | grep -v -E "$strict" | sed '/^$/d; s/^/open elsewhere: /'
  open=$(printf '%s\n' "$open" | grep -E "$strict" || true)
  if [ -n "$open" ]; then
    echo 'coverage: neither tested nor excused, in the core of the port or a parser:'
    printf '%s\n' "$open"
    bad=1
  fi
  printf '%s\n' "$all" | reasons | grep STALE || true
  return $bad
}

case ${1-} in
  '') facts | table 1 ;;
  --files) facts | table 2 ;;
  --reasons) facts | reasons ;;
  --check) check ;;
  -*) echo "usage: sh tests/coverage.sh [--files | --reasons | --check | FILE]" >&2; exit 2 ;;
  *) facts | open_lines | grep "^$1:" || true ;;
esac
