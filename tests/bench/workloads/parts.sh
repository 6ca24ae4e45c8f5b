# parts.sh - what needs no traffic: timers, the completion port alone, the start, the size of the program.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045

# timers_run WORKLOAD PAIR COUNT PER-SECOND WARMUP-S: the VM's memory cap is out of the way, for a million timers go
# beyond it.
timers_run() {
  server_start timers "$pin_server" "$portico --vms 1 --memory 2048 $here/timers.lua $3 $4" &&
    record "$1" "$2" portico "$pin_load" --counter "$seconds" --warmup "$5" --pid "$server_pid" "$server_url" ||
    not_measured "$1" "$3 timers"
  servers_stop
}

# 100,000 a second keep the core busy for a part of the time: none is late because of another one.
timers_workload() {
  wanted timers || return 0
  n=1
  while [ "$n" -le "$pairs" ]; do
    progress "timers: run $n of $pairs"
    timers_run timers "$n" 100000 100000 1
    n=$((n + 1))
  done
  progress ""
}

# packets_run WORKLOAD OPTIONS...: an odd number of rounds, each of some tenths of a second.
packets_run() {
  work_name=$1
  shift
  progress "$work_name"
  if timeout 300 "$out/bench/port_packets" $backend_option "$@" >"$tmp/lines" 2>"$tmp/load.err"; then
    keep "$work_name" 1 port <"$tmp/lines"
  else
    not_measured "$work_name" "it failed"
  fi
  progress ""
}

packets_workload() {
  wanted packets || return 0
  rounds=$((2 * pairs + 1))
  packets_run packets1 --rounds $rounds
  packets_run packets1b1 --rounds $rounds --batch 1
  for threads in 2 4 8; do
    packets_run packets$threads --producers $threads --consumers $threads --rounds $rounds
  done
}

start_workload() {
  wanted start || return 0
  progress start
  "$out/bench/start" 11 "$out/bench/reference" 2>"$tmp/load.err" | keep start 1 reference
  "$out/bench/start" 11 $echo_command 2>"$tmp/load.err" | keep start 1 portico
  grep -q '"workload":"start","server":"portico"' "$tmp/runs" || not_measured start "it failed"
  if strip -o "$tmp/stripped" "$out/portico" 2>"$tmp/load.err"; then
    echo "{\"stripped_bytes\":$(wc -c <"$tmp/stripped")}" | keep size 1 portico
    rm -f "$tmp/stripped"
  else
    not_measured size "strip failed"
  fi
  progress ""
}
