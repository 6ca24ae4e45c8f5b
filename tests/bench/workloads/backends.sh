# backends.sh - io_uring beside epoll: the same program on both, on one core and free to use all; and two bare loops in
# C, without Lua or pool (--backends).
# shellcheck shell=sh disable=SC2034,SC2086,SC2154

# backend_pair WORKLOAD SLICE-MS LOAD-OPTIONS...
backend_pair() {
  work_name=$1 slice=$2
  shift 2
  pair_workload "$work_name" "$slice" epoll "$out/portico run --backend epoll echo" \
    uring "$out/portico run --backend uring echo" "$@"
}

# An unpinned server has the load on one of its cores: as busy as a server beside other programs.
backend_workloads() {
  backend_pair uring-c1 50 --connections 1
  backend_pair uring-c64 50 --connections 64
  backend_pair uring-c1000 100 --connections 1000
  backend_pair uring-c64x16 50 --connections 64 --in-flight 16
  backend_pair uring-c64x64k 50 --connections 64 --size 65536
  pinned=$pin_server pin_server=''
  backend_pair uring-free-c1 50 --connections 1
  backend_pair uring-free-c64 50 --connections 64
  backend_pair uring-free-c1000 100 --connections 1000
  pin_server=$pinned
  bare_workloads
}

# bare_pair WORKLOAD SLICE-MS LOAD-OPTIONS...
bare_pair() {
  work_name=$1 slice=$2
  shift 2
  pair_workload "$work_name" "$slice" reference "$out/bench/reference" bare "$out/bench/bare_uring" "$@"
}

bare_workloads() {
  [ -x "$out/bench/bare_uring" ] || { echo "note: no liburing here, so no bare loop over io_uring"; return 0; }
  bare_pair bare-c64 50 --connections 64
  bare_pair bare-c64x16 50 --connections 64 --in-flight 16
  bare_pair bare-c1000 100 --connections 1000
}
