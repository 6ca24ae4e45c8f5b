# echo.sh - pairs of two servers that do the same: echo, a connection for each message, broadcast.
# shellcheck shell=sh disable=SC2015,SC2034,SC2086,SC2154,SC3045 # the variables are run.sh's

# echo_workload NAME SLICE-MS LOAD-OPTIONS...: a slice lasts so long that all connections have many echoes in it.
echo_workload() {
  work_name=$1 slice=$2
  shift 2
  pair_workload "$work_name" "$slice" reference "$out/bench/reference" portico "$echo_command" "$@"
}

echo_workloads() {
  echo_workload c1 50 --connections 1
  echo_workload c64 50 --connections 64
  echo_workload c1000 100 --connections 1000
  ! wanted c10000 || echo_workload c10000 1000 --connections "$(connections_max 10000)"
  echo_workload c64x4k 50 --connections 64 --size 4096
  echo_workload c64x64k 50 --connections 64 --size 65536
  echo_workload c64x16 50 --connections 64 --in-flight 16
  echo_workload c64x64 50 --connections 64 --in-flight 64
  echo_workload c64paced 50 --connections 64 --rate 20000
  echo_workload reconnect 50 --connections 64 --reconnect
}

broadcast_workloads() {
  for receivers in 1 10 100 1000; do
    pair_workload broadcast$receivers 100 reference "$out/bench/broadcast" \
      portico "$portico --vms 1 $here/broadcast.lua" --connections $receivers --broadcast
  done
}
