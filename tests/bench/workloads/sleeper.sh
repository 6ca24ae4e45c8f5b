# sleeper.sh - a handler that sleeps in C beside VMs that have work.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045

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
  for nap in os socket; do
    server_start sleeper "" "$sleeper_command" && sleeper_pairs $nap || not_measured "sleeper ($nap)" "it failed"
    servers_stop
  done
  progress ""
}
