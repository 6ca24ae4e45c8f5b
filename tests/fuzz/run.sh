#!/bin/sh
# Fuzzes: builds the preset `fuzz` (clang, libFuzzer, address and undefined-behaviour sanitizers) in build-fuzz/, and
# for each target replays its corpus, then looks for new inputs and for crashes.
#   sh tests/fuzz/run.sh [--seconds N] [--jobs N] [--keep] [TARGET...]
#   --seconds N   for each target (30)
#   --jobs N      targets at a time (2)
#   --keep        afterwards merge what was found, minimised, into tests/fuzz/corpus/
# New inputs are kept in build-fuzz/new/TARGET, what crashes in build-fuzz/found/. Exit code 1: something crashed; the
# command that shows it again is printed.
set -eu
cd "$(dirname "$0")/../.."

seconds=30 jobs=2 keep=false targets=
usage() { echo "usage: sh tests/fuzz/run.sh [--seconds N] [--jobs N] [--keep] [TARGET...]" >&2; exit 2; }
whole() { case $1 in ''|0*|*[!0-9]*) usage ;; esac; }
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) [ $# -gt 1 ] || usage; whole "$2"; seconds=$2; shift ;;
    --jobs) [ $# -gt 1 ] || usage; whole "$2"; jobs=$2; shift ;;
    --keep) keep=true ;;
    -*) usage ;;
    *) [ -d "tests/fuzz/corpus/$1" ] || { echo "run.sh: there is no target $1" >&2; exit 2; }; targets="$targets $1" ;;
  esac
  shift
done
[ -n "$targets" ] || targets=$(cd tests/fuzz/corpus && for folder in */; do echo "${folder%/}"; done)

sh third_party/install.sh --fuzz
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz
mkdir -p build-fuzz/found
before=build-fuzz/found/.before
: >"$before"

# One target; what it says goes to build-fuzz/TARGET.log.
fuzz() { # TARGET
  corpus=tests/fuzz/corpus/$1
  new=build-fuzz/new/$1
  mkdir -p "$new"
  dictionary=
  [ ! -f "$corpus.dict" ] || dictionary=-dict=$corpus.dict
  build-fuzz/tests/fuzz_"$1" -max_total_time="$seconds" -timeout=20 -print_final_stats=1 $dictionary \
    -artifact_prefix="build-fuzz/found/$1-" "$new" "$corpus" >"build-fuzz/$1.log" 2>&1
}

# A line about a target: executions, per second, edges, new inputs. result: 1 = it crashed
report() { # TARGET
  log=build-fuzz/$1.log
  awk -v name="$1" '
    / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
    /^stat::number_of_executed_units:/ { runs = $2 }
    /^stat::average_exec_per_sec:/ { rate = $2 }
    /^stat::new_units_added:/ { found = $2 }
    END { printf "%-14s %10d runs %7d/s %6d edges %6d new\n", name, runs, rate, edges, found }' "$log"
  crash=$(find build-fuzz/found -name "$1-*" -newer "$before" | head -n 1)
  [ -z "$crash" ] && grep -q '^Done ' "$log" && return 0
  echo "$1 failed: $(grep -m 1 -e '^SUMMARY' -e '\.[ch]:[0-9]*: ' "$log" || echo "see $log")"
  echo "  again: PORTICO_FUZZ_TRACE=1 build-fuzz/tests/fuzz_$1 ${crash:-tests/fuzz/corpus/$1}"
  return 1
}

status=0 running=0 count=0 total=0 waiting=
end_batch() { # waits for those that run, and reports them
  wait
  for target in $waiting; do
    count=$((count + 1))
    runs=$(awk '/^stat::number_of_executed_units:/ { n = $2 } END { print n + 0 }' "build-fuzz/$target.log")
    total=$((total + runs))
    report "$target" || status=1
  done
  running=0 waiting=
}
trap 'kill $(jobs -p) 2>/dev/null; exit 1' HUP INT TERM
for target in $targets; do
  fuzz "$target" &
  waiting="$waiting $target" running=$((running + 1))
  [ "$running" -lt "$jobs" ] || end_batch
done
end_batch

if $keep && [ $status = 0 ]; then
  for target in $targets; do
    build-fuzz/tests/fuzz_"$target" -merge=1 "tests/fuzz/corpus/$target" "build-fuzz/new/$target" \
      >"build-fuzz/$target.log" 2>&1 || { echo "run.sh: cannot merge $target: see build-fuzz/$target.log" >&2; exit 1; }
  done
fi
echo "fuzz: $count targets, $seconds s each, $total runs, $([ $status = 0 ] && echo no crash || echo CRASHES)"
exit $status
