# idle.sh - what 10,000 connections that do nothing cost: memory of each, CPU time of all.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045

# idle_of NAME COMMAND CONNECTIONS: nothing is pinned, the server runs as it would for a user. A short load first, so
# that what a server allocates once is not counted as belonging to connections.
idle_of() {
  progress "idle: $1"
  still=3
  [ "$quick" = no ] || still=1
  server_start "$1" "" "$2" &&
    record idle-warmup 0 "$1" "" --warmup 0 --seconds 1 --pid "$server_pid" "$server_url" &&
    record idle 1 "$1" "" --idle "$(connections_max "$3")" --still $still --pid "$server_pid" "$server_url" ||
    not_measured idle "$1"
  servers_stop
  progress ""
}

idle_workload() {
  wanted idle || return 0
  idle_of reference "$out/bench/reference" 10000
  idle_of portico "$echo_command" 10000
}
