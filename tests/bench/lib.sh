# lib.sh - what every workload needs: cores, servers that are started and ended, figures that are kept. Read by run.sh,
# which has set: out (the build folder), tmp (a folder of this run), pairs, seconds, warmup, only.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045
# Lists of words are split on purpose, and variables cross files.

fail() { echo "bench: $*" >&2; exit 1; }

load=$out/bench/load
missing=no
: >"$tmp/runs"

wanted() { case ,$only, in *,all,*|*,"$1",*) return 0 ;; *) return 1 ;; esac; }
progress() { [ ! -t 2 ] || printf '\r%-60s\r%s' "" "$1" >&2; }

# not_measured WORKLOAD WHY: a figure that is not there counts as missed for --check, and the run goes on.
not_measured() {
  progress ""
  echo "$1: not measured: $2"
  for log in "$tmp"/*.err; do
    [ ! -s "$log" ] || tail -n 5 "$log" | sed "s,^,  $(basename "$log" .err): ,"
  done
  missing=yes
}

# --- the machine ---

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

# connections_max N: how many of N connections one process may have here.
connections_max() {
  allowed=$(ulimit -n)
  if [ "$allowed" = unlimited ] || [ "$allowed" -ge $(($1 + 100)) ]; then
    echo "$1"
  else
    echo "note: ulimit -n allows $((allowed - 100)) connections only, not $1" >&2
    echo $((allowed - 100))
  fi
}

# --- servers: what was started is ended, by its own process id ---

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
    if ended "$server_pid" || [ $tries -ge 400 ]; then
      echo "bench: '$3' did not listen" >&2
      return 1
    fi
    sleep 0.05
  done
}

# --- figures ---

# keep WORKLOAD PAIR NAME: adds a line of JSON from stdin to the figures of this run, with these three in front.
keep() { sed "s/^{/{\"workload\":\"$1\",\"server\":\"$3\",\"pair\":$2,/" >>"$tmp/runs"; }

# record WORKLOAD PAIR NAMES PIN LOAD-OPTIONS...: runs the load once and keeps its lines, one for each of the names.
record() {
  work=$1 pair=$2 names=$3 pin=$4 line=0
  shift 4
  timeout 300 $pin "$load" "$@" </dev/null >"$tmp/lines" 2>"$tmp/load.err" || return 1
  for name in $names; do
    line=$((line + 1))
    sed -n ${line}p "$tmp/lines" | keep "$work" "$pair" "$name"
  done
}

# one_pair WORKLOAD PAIR SLICE-MS NAME COMMAND NAME COMMAND LOAD-OPTIONS...
# Two fresh servers, started in the other order each time; the load goes to and fro between them (README.md). Each has
# at least two slices of the window.
one_pair() {
  pair_work=$1 pair_n=$2 slice_ms=$3 first=$4 first_command=$5 second=$6 second_command=$7
  shift 7
  slices=$((seconds * 1000 / slice_ms))
  [ $slices -ge 2 ] || slices=2
  window=$(awk "BEGIN { print $slices * $slice_ms / 1000 }")
  if [ $((pair_n % 2)) -eq 1 ]; then
    server_start "$first" "$pin_server" "$first_command" || return 1
    first_pid=$server_pid first_url=$server_url
  fi
  server_start "$second" "$pin_server" "$second_command" || return 1
  second_pid=$server_pid second_url=$server_url
  if [ $((pair_n % 2)) -eq 0 ]; then
    server_start "$first" "$pin_server" "$first_command" || return 1
    first_pid=$server_pid first_url=$server_url
  fi
  record "$pair_work" "$pair_n" "$first $second" "$pin_load" --warmup "$warmup" --seconds "$window" --slices $slices \
    "$@" --pid "$first_pid" --pid "$second_pid" "$first_url" "$second_url" || return 1
  servers_stop
}

# pair_workload WORKLOAD SLICE-MS NAME COMMAND NAME COMMAND LOAD-OPTIONS...: as many pairs as were asked for. Fresh
# servers in each, so that one lucky layout in memory does not make the figure of all.
pair_workload() {
  work_name=$1
  shift
  wanted "$work_name" || return 0
  n=1
  while [ "$n" -le "$pairs" ]; do
    progress "$work_name: pair $n of $pairs"
    one_pair "$work_name" "$n" "$@" || { not_measured "$work_name" "pair $n failed"; servers_stop; return 1; }
    n=$((n + 1))
  done
  progress ""
}
