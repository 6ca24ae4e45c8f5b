#!/bin/sh
# run.sh - measures Portico's Lua echo against a bare C loop, memory per idle connection, and what a sleeping handler
# does to others. README.md says how to read what it prints.
# shellcheck disable=SC2015,SC2086,SC3045 # lists of words are split on purpose; dash and bash know ulimit -n
set -u

usage() {
  cat <<'END'
usage: sh tests/bench/run.sh [OPTIONS]
  --quick        2 pairs of 1 s windows: does it work at all? (its figures are too noisy to quote)
  --pairs N      pairs of runs for each workload (5)
  --seconds S    seconds of each window (3)
  --only NAMES   a comma-separated choice of: c64 c1 c1000 c64x16 c64paced memory sleeper (all)
  --no-build     measure what is there
  --check        exit with 1 when a figure misses its bar or could not be measured
environment (defaults in brackets; the address is added as last argument)
  PORTICO_BUILD    the build folder [build]
  PORTICO_ECHO     the echo server to measure [$PORTICO_BUILD/portico run echo]
  PORTICO_SLEEPER  the sleeper server [$PORTICO_BUILD/portico run --vms 4 --concurrency 2 tests/bench/sleeper.lua]
END
}

fail() { echo "bench: $*" >&2; exit 1; }
misused() { echo "bench: $*" >&2; usage >&2; exit 2; }

pairs=5 seconds=3 warmup=0.5 only=all build=yes check=no quick=no
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=yes pairs=2 seconds=1 warmup=0.2 ;;
    --pairs|--seconds|--only) [ $# -ge 2 ] || misused "$1 needs a value"
      case $1 in --pairs) pairs=$2 ;; --seconds) seconds=$2 ;; --only) only=$2 ;; esac
      shift ;;
    --no-build) build=no ;;
    --check) check=yes ;;
    --help|-h) usage; exit 0 ;;
    *) misused "unknown option $1" ;;
  esac
  shift
done
case $pairs in ''|*[!0-9]*|0) misused "--pairs: '$pairs' is not a number of pairs" ;; esac
case $seconds in ''|*[!0-9]*|0) misused "--seconds: '$seconds' is not a whole number of seconds" ;; esac

cd "$(dirname "$0")/../.." || exit 1
here=tests/bench
out=${PORTICO_BUILD:-build}
echo_command=${PORTICO_ECHO:-$out/portico run echo}
sleeper_command=${PORTICO_SLEEPER:-$out/portico run --vms 4 --concurrency 2 $here/sleeper.lua}

if [ "$build" = yes ]; then
  targets="bench_load bench_reference"
  [ -n "${PORTICO_ECHO:-}" ] && [ -n "${PORTICO_SLEEPER:-}" ] || targets="$targets portico"
  [ -f "$out/CMakeCache.txt" ] || cmake --preset default -B "$out" >&2 || fail "cmake could not configure the build"
  cmake --build "$out" --target $targets >&2 || fail "the build failed"
fi
load=$out/bench/load
[ -x "$load" ] && [ -x "$out/bench/reference" ] || fail "there is no $load or reference: run without --no-build"

# --- what was started is ended, by its own process id ---

tmp=$(mktemp -d) || exit 1
server_pids=
ended() { ! [ -d "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null; }

server_stop() { # PID
  kill "$1" 2>/dev/null
  tries=0
  until ended "$1" || [ $tries -ge 100 ]; do sleep 0.05; tries=$((tries + 1)); done
  ended "$1" || { echo "bench: a server did not end within 5 s of SIGTERM" >&2; kill -9 "$1"; }
  wait "$1" 2>/dev/null
}

servers_stop() {
  for pid in $server_pids; do server_stop "$pid"; done
  server_pids=
}

trap 'servers_stop; rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the machine ---

ulimit -n "$(ulimit -H -n)" 2>/dev/null
# The first two cores this script may use: one for the server, one for the load.
cores=$(awk '/^Cpus_allowed_list/ { n = split($2, part, ",")
  for (i = 1; i <= n; i++) { m = split(part[i], range, "-"); for (c = range[1]; c <= range[m]; c++) print c } }' \
  /proc/self/status)
core_count=$(echo "$cores" | wc -l)
server_core=$(echo "$cores" | sed -n 1p)
load_core=$(echo "$cores" | sed -n 2p)
pin_server="taskset -c $server_core" pin_load="taskset -c ${load_core:-$server_core}"
command -v taskset >/dev/null || { pin_server='' pin_load=''; echo "note: there is no taskset, nothing is pinned"; }
[ "$core_count" -ge 2 ] || echo "note: one core only, server and load share it: latencies mean little"
read -r load_1min _ </proc/loadavg

# --- running ---

# server_start NAME PIN COMMAND: starts it on a free port and waits until it listens; sets server_pid and server_url.
server_start() {
  log=$tmp/$1.err
  : >"$log" # here, or the line of the server before could still be read below
  $2 $3 tcp://127.0.0.1:0 </dev/null >/dev/null 2>"$log" &
  server_pid=$! # of the server itself: taskset becomes it
  server_pids="$server_pids $server_pid"
  tries=0
  until server_url=$(sed -n 's/.*listening on \(tcp:[^ ]*\).*/\1/p' "$log" | head -n 1) && [ -n "$server_url" ]; do
    tries=$((tries + 1))
    if ended "$server_pid" || [ $tries -ge 200 ]; then
      sed 's/^/  /' "$log" >&2
      fail "'$3' did not listen"
    fi
    sleep 0.05
  done
}

start_reference() { # PIN
  server_start reference "$1" "$out/bench/reference"
  reference="--pid $server_pid" reference_url=$server_url
}

start_portico() { # PIN
  server_start portico "$1" "$echo_command"
  portico="--pid $server_pid" portico_url=$server_url
}

# record WORKLOAD PAIR NAMES PIN LOAD-OPTIONS...: runs the load once and keeps its lines, one for each of the names,
# with workload, server and pair written in front.
record() {
  set_names='' line=0 workload=$1 pair=$2
  for name in $3; do
    line=$((line + 1))
    set_names="$set_names$line s/^{/{\"workload\":\"$workload\",\"server\":\"$name\",\"pair\":$pair,/;"
  done
  pin=$4
  shift 4
  timeout 300 $pin "$load" "$@" </dev/null >"$tmp/lines" 2>"$tmp/load.err" || return 1
  sed "$set_names" "$tmp/lines" >>"$tmp/runs"
}

record_or_fail() {
  record "$@" && return 0
  cat "$tmp/load.err" >&2
  for log in "$tmp"/*.err; do [ "$log" = "$tmp/load.err" ] || tail -n 20 "$log" >&2; done
  fail "$1 could not be measured"
}

wanted() { case ,$only, in *,all,*|*,"$1",*) return 0 ;; *) return 1 ;; esac; }
progress() { [ ! -t 2 ] || printf '\r%-40s\r%s' "" "$1" >&2; }

# echo_workload NAME SLICES-PER-SECOND LOAD-OPTIONS...
# Both servers are fresh in each pair, so that one lucky layout in memory does not make the figure of all pairs, and
# start in the other order each time. Within a pair the load generator goes to and fro between them (README.md).
echo_workload() {
  work=$1 slices=$(($2 * seconds))
  shift 2
  wanted "$work" || return 0
  n=1
  while [ "$n" -le "$pairs" ]; do
    progress "$work: pair $n of $pairs"
    if [ $((n % 2)) -eq 1 ]; then start_reference "$pin_server"; start_portico "$pin_server"
    else start_portico "$pin_server"; start_reference "$pin_server"; fi
    record_or_fail "$work" "$n" "reference portico" "$pin_load" --warmup $warmup --seconds "$seconds" \
      --slices $slices "$@" $reference $portico "$reference_url" "$portico_url"
    servers_stop
    n=$((n + 1))
  done
  progress ""
}

# Nothing is pinned: the server runs as it would for a user. A short load first, so that what a server allocates once
# is not counted as belonging to connections.
memory_workload() {
  wanted memory || return 0
  idle=10000
  [ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 10100 ] || idle=$(($(ulimit -n) - 100))
  [ $idle -eq 10000 ] || echo "note: ulimit -n allows $idle idle connections only"
  for who in reference portico; do
    progress "memory: $who"
    start_$who ""
    record_or_fail memory-warmup 0 $who "" --warmup 0 --seconds 1 --pid "$server_pid" "$server_url"
    record_or_fail memory 1 $who "" --idle $idle --pid "$server_pid" "$server_url"
    servers_stop
  done
  progress ""
}

# sleeper_run NAP PAIR on|off: 16 connections on other VMs than the sleeper's, 2000 messages a second: so light a load
# that a message has nothing to wait for but its VM. Nothing is pinned.
sleeper_run() {
  nap=$1 n=$2 state=$3
  if [ "$state" = on ]; then set -- --sleeper "SLEEP $nap"; else set -- --other-vms; fi
  record "sleeper-$nap" "$n" "$state" "" --connections 16 --rate 2000 --warmup 0.2 --seconds 1 "$@" \
    --pid "$server_pid" "$server_url"
}

# Both runs of a pair go to the same server, and only the nap differs. Three times as many pairs, of one second: a p99
# is spoilt by a few ms of another program, and many short pairs leave the median some that were not.
sleeper_pairs() {
  n=1
  while [ "$n" -le $((3 * pairs)) ]; do
    progress "sleeper ($1): pair $n of $((3 * pairs))"
    if [ $((n % 2)) -eq 1 ]; then order="off on"; else order="on off"; fi
    for state in $order; do sleeper_run "$1" "$n" "$state" || return 1; done
    n=$((n + 1))
  done
}

sleeper_workload() {
  wanted sleeper || return 0
  if [ -z "${PORTICO_SLEEPER:-}" ] && ! [ -x "$out/portico" ]; then
    echo "sleeper: not measured, there is no $out/portico"
    missing=yes
    return 0
  fi
  for nap in os socket; do
    server_start sleeper "" "$sleeper_command"
    if ! sleeper_pairs $nap; then
      progress ""
      echo "sleeper ($nap): not measured: $(cat "$tmp/load.err")"
      tail -n 5 "$tmp/sleeper.err" | sed 's/^/  /'
      missing=yes
    fi
    servers_stop
  done
  progress ""
}

: >"$tmp/runs"
missing=no
model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: ${model:-unknown processor}, $core_count cores, Linux $(uname -r), load average before: $load_1min"
echo "servers: reference = $out/bench/reference, portico = $echo_command"
echo "method:  $pairs pairs of $seconds s for each server after $warmup s of warm-up," \
  "servers on core $server_core, load on core ${load_core:-$server_core}"
awk "BEGIN { exit !($load_1min > 0.5) }" &&
  echo "note: load average $load_1min, other programs are running: expect noise"
[ $quick = no ] || echo "note: --quick, these figures are too noisy to quote"
echo

echo_workload c64 20 --connections 64
echo_workload c1 20 --connections 1
echo_workload c1000 10 --connections 1000 # one echo of all takes 12 ms: give it longer slices
echo_workload c64x16 20 --connections 64 --in-flight 16
echo_workload c64paced 20 --connections 64 --rate 20000
memory_workload
sleeper_workload

awk -f $here/table.awk -v json="$tmp/summary" "$tmp/runs"
missed=$?
{
  printf '{"date":"%s","processor":"%s","kernel":"%s","cores":%s,"load_average":%s,\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$model" "$(uname -r)" "$core_count" "$load_1min"
  printf '"portico":"%s","pairs":%s,"seconds":%s,"quick":%s,\n' "$echo_command" "$pairs" "$seconds" \
    "$([ $quick = yes ] && echo true || echo false)"
  printf '"summary":[\n'; cat "$tmp/summary" 2>/dev/null; printf '],\n"runs":[\n'
  sed '$!s/$/,/' "$tmp/runs"
  printf ']}\n'
} >"$out/bench/last.json"
echo "all figures: $out/bench/last.json"
[ $check = no ] || { [ $missed -eq 0 ] && [ $missing = no ]; } || exit 1
