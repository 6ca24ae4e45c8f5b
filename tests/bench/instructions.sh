#!/bin/sh
# instructions.sh - how many instructions the process needs for an echoed message, counted by callgrind: Portico, Lua
# and the C library, not the kernel. Time cannot tell a change of one per cent, this can. A short and a long run are
# counted, on the epoll backend with one VM and two workers; their difference divided by the messages in between is the
# figure, so start-up is not in it. Nor is what a cache miss costs. Another processor may be some instructions off,
# because the C library chooses functions such as memcpy by it.
# shellcheck disable=SC2086 # lists of words are split on purpose
set -u

usage() {
  cat <<'END_OF_USAGE'
usage: sh tests/bench/instructions.sh [--check | --update | --profile [WORKLOAD]]
Counts the instructions for a message in half a minute and compares them with the budget in instructions.txt.
  --check     exit with 1 when a workload is more than 5 % above its budget
  --update    write what was counted to instructions.txt, as the new budget
  --profile   print the 40 functions that need most for c64, or for the WORKLOAD named
Workloads, 64-byte messages on 64 connections: c64, one message in flight on each; c64x16, sixteen.
Exit code 77: not counted, valgrind is missing. PORTICO_BUILD names the build folder (build).
END_OF_USAGE
}

fail() { echo "instructions: $*" >&2; exit 1; }

mode=print profiled=c64
case ${1:-} in
  '') ;;
  --check|--update) mode=${1#--} ;;
  --profile) mode=profile profiled=${2:-c64} ;;
  --help|-h) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
case $profiled in c64|c64x16) ;; *) usage >&2; exit 2 ;; esac

cd "$(dirname "$0")/../.." || exit 1
budget=tests/bench/instructions.txt
build=${PORTICO_BUILD:-build}
portico=$build/portico load=$build/bench/load
command -v valgrind >/dev/null || { echo "skipped: there is no valgrind (sh third_party/install.sh)"; exit 77; }
{ [ -x "$portico" ] && [ -x "$load" ]; } || fail "there is no $portico or $load: build first (sh tests/run.sh)"

T=$(mktemp -d) || exit 1
server_pid=
finish() {
  [ -z "$server_pid" ] || kill -KILL "$server_pid" 2>/dev/null
  rm -rf "$T"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# --- everything that could make two runs differ is held still ---

# Of the cores this script may use, the one that has idled most in the last half second.
quietest_core() {
  { cat /proc/stat; sleep 0.5; cat /proc/stat; } | awk '
    FNR == NR && /^Cpus_allowed_list/ {
      n = split($2, part, ",")
      for (i = 1; i <= n; i++) { m = split(part[i], range, "-"); for (c = range[1]; c <= range[m]; c++) may["cpu" c] }
    }
    FNR != NR && $1 in may {
      if (!($1 in idle)) idle[$1] = $5
      else if (!best || $5 - idle[$1] > most) { most = $5 - idle[$1]; best = substr($1, 4) }
    }
    END { print best }' /proc/self/status -
}

# Server and load share a core, and the server has it only while the load waits (SCHED_IDLE). So each epoll_wait finds
# all connections ready that can be, and how many there are does not depend on which of two cores is faster.
core=$(quietest_core)
pin_load="taskset -c $core" pin_server="taskset -c $core chrt -i 0"
$pin_server true 2>/dev/null || pin_load='' pin_server=''
# Lua seeds the hash of its strings with addresses and with the time; where strings collide, and how large the blocks
# are that malloc finds free, follow from it (up to 0.4 % and 2.5 %). So addresses are not randomized, and time() says
# what it is told. Five times are tried and the least count is taken, because code that has moved in memory gives
# other seeds, too.
still_addresses="setarch -R"
$still_addresses true 2>/dev/null || still_addresses=''
seeds="1 2 3 4 5"
${CC:-cc} -shared -fPIC -o "$T/seed.so" -x c - <<'END_OF_C' || fail "${CC:-cc} could not build a library"
#include <stdlib.h>
long time(long *out) {
  long seed = atol(getenv("PORTICO_SEED"));
  if (out != NULL) *out = seed;
  return seed;
}
END_OF_C

# --- counting ---

ended() { ! [ -d "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

server_start() { # SEED: sets server_pid and url
  : >"$T/err" # here, or the line of the server before could still be read below
  PORTICO_SEED=$1 LD_PRELOAD=$T/seed.so $pin_server $still_addresses \
    valgrind --tool=callgrind --callgrind-out-file="$T/profile" "$portico" run --backend epoll --concurrency 1 \
    --vms 1 --workers 2 echo tcp://127.0.0.1:0 </dev/null >/dev/null 2>"$T/err" &
  server_pid=$! # of the server itself: each of the programs before it becomes the next
  tries=0
  until url=$(sed -n 's/^listening on \(tcp:[^ ]*\).*/\1/p' "$T/err") && [ -n "$url" ]; do
    tries=$((tries + 1))
    if ended "$server_pid" || [ $tries -ge 400 ]; then
      tail -n 20 "$T/err" >&2
      fail "the server did not listen"
    fi
    sleep 0.05
  done
}

server_stop() {
  kill "$server_pid"
  tries=0
  until ended "$server_pid" || [ $tries -ge 200 ]; do sleep 0.05; tries=$((tries + 1)); done
  ended "$server_pid" || fail "the server did not end within 10 s of SIGTERM"
  wait "$server_pid"
  server_pid=
}

# run SEED MESSAGES IN-FLIGHT: sets total to the instructions of a whole run; leaves its $T/profile.
run() {
  server_start "$1"
  timeout 60 $pin_load "$load" --warmup 0 --messages "$2" --in-flight "$3" "$url" >/dev/null 2>"$T/load.err" || {
    cat "$T/load.err" >&2
    fail "the load failed or did not end within 60 s (does something else keep core $core busy?)"
  }
  server_stop
  total=$(sed -n 's/^totals: //p' "$T/profile")
}

# The messages of the short and of the long run: start-up, connecting and the end are in both and cancel out.
workload_set() {
  case $1 in
    c64) in_flight=1 few=10000 many=50000 ;;
    c64x16) in_flight=16 few=100000 many=400000 ;;
  esac
}

count() { # WORKLOAD: adds it and the instructions for a message to $T/counted
  workload_set "$1"
  : >"$T/counts"
  for seed in $seeds; do
    run "$seed" $few $in_flight
    total_few=$total
    run "$seed" $many $in_flight
    awk "BEGIN { printf \"%.1f\\n\", ($total - $total_few) / ($many - $few) }" >>"$T/counts"
  done
  echo "$1 $(sort -n "$T/counts" | head -n 1)" >>"$T/counted"
}

profile() { # WORKLOAD; start-up is in its figures, too: 2 or 3 %
  workload_set "$1"
  run 1 $many $in_flight
  echo "instructions/message  share  function ($1, start-up included)"
  callgrind_annotate --auto=no --threshold=100 "$T/profile" 2>/dev/null |
    sed -n 's/^ *\([0-9,]*\) (\([ 0-9.]*%\))  [^ ]*:\([^ ]*\).*/\1 \2 \3/p' | sed 's/,//g; s/^\([0-9]*\)  */\1 /' |
    head -n 40 | awk -v messages=$many '{ printf "%20.1f %6s  %s\n", $1 / messages, $2, $3 }'
}

if [ $mode = profile ]; then
  profile "$profiled"
  exit
fi

count c64
count c64x16

if [ $mode = update ]; then
  {
    echo "# Instructions for an echoed message, the budget. Written by: sh tests/bench/instructions.sh --update"
    cat "$T/counted"
  } >$budget
fi

awk -v check=$mode '
  BEGIN { printf "%-10s %20s %9s %8s\n", "workload", "instructions/message", "budget", "change" }
  /^#/ { next }
  FILENAME ~ /instructions\.txt$/ { budget[$1] = $2; next }
  !($1 in budget) { printf "%-10s %20.1f %9s\n", $1, $2, "none"; above = 1; next }
  {
    change = $2 / budget[$1] - 1
    printf "%-10s %20.1f %9.1f %+7.1f%%%s\n", $1, $2, budget[$1], 100 * change, (change > 0.05 ? "  above" : "")
    if (change > 0.05) above = 1
  }
  END { exit check == "check" && above }' $budget "$T/counted"
