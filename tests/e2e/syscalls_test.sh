# The program as it is, with failing system calls: strace makes them fail from outside. While it serves it goes on;
# at its start it may end, with one line that says why. (tests/faults does the same, far more often, from inside.)
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'there is no strace for Windows programs'
command -v strace >/dev/null || skip 'there is no strace'
strace -f -o /dev/null true 2>/dev/null || skip 'this machine lets nobody trace a process (ptrace is refused)'
! grep -q -e __tsan_init -e __asan_init "$PORTICO_PROGRAM" || skip 'a sanitizer makes calls of its own'
backend=epoll
case $PORTICO in *-uring) backend=uring ;; esac

# Clients are on epoll, and untouched.
crowd() { run timeout 30 "$PORTICO_PROGRAM" run --backend epoll --vms 1 $E2E/crowd.lua "$url" 40 8; }
one_is_served() { # within 20 attempts: each may meet a call that fails
  for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    run timeout 10 "$PORTICO_PROGRAM" run --backend epoll send "$url" --message "$attempt" --receive -
    [ "$(cat "$T/run.out")" != "$attempt" ] || return 0
  done
  false
}

# injected all|some CALLS INJECTION: serves a crowd meanwhile; some: connections may end by it, but the server must not
injected() {
  injection="$2 $3"
  serve echo strace -f -qq -o "$T/trace" -e "trace=$2" -e "inject=$2:$3" \
    "$PORTICO_PROGRAM" run --backend "$backend" --vms 2 echo tcp://127.0.0.1:0
  crowd
  seen=$(tail -n 1 "$T/run.out")
  [ "$seen" = 'served=40 held=8' ] || seen=$(head -n 1 "$T/run.err")
  case $1 in
    all) check "$injection: all are served" [ "$seen" = 'served=40 held=8' ] ;;
    some) check "$injection: it goes on serving (after: $seen)" one_is_served ;;
  esac
  kill -TERM "$(tr -d ' ' <"/proc/$pid_echo/task/$pid_echo/children")"
  ended echo
  check "$injection: it ends in order ($(grep -c INJECTED "$T/trace") calls failed)" [ $code -eq 0 ]
}

# refused CALL INJECTION: at the start. It serves, or ends with one line.
refused() {
  run timeout 20 strace -f -qq -o "$T/trace" -e "trace=$1" -e "inject=$1:$2" \
    "$PORTICO_PROGRAM" run --backend "$backend" --grace 0 $E2E/short.lua
  failed_calls=$(grep -c INJECTED "$T/trace")
  if [ $failed_calls -eq 0 ]; then pass "$1 $2: there is no such call"
  elif [ $code -eq 0 ]; then pass "$1 $2 ($failed_calls failed): it serves all the same"
  else says 1 '^portico: ' "$1 $2 ($failed_calls failed)"
  fi
}

# when=5+3: the fifth call, and every third after it.
injected all epoll_pwait2 error=EINTR:when=5+3
for error in ECONNABORTED EMFILE ENFILE ENOBUFS ENOMEM EPROTO EPERM EINTR; do
  injected all accept4 "error=$error:when=2+5"
done
for error in EINTR ENOMEM ECONNRESET; do injected some recvfrom,recvmsg "error=$error:when=3+7"; done
for error in EINTR ENOBUFS ENOMEM EPIPE ECONNRESET; do injected some sendto,sendmsg "error=$error:when=3+7"; done
injected all setsockopt error=ENOMEM:when=3+2
injected some getpeername error=ENOTCONN:when=1+3
injected some shutdown error=ENOTCONN:when=1+2
for error in ENOMEM ENOSPC; do injected some epoll_ctl "error=$error:when=6+4"; done
if [ $backend = uring ]; then
  for error in EINTR EAGAIN EBUSY; do injected all io_uring_enter "error=$error:when=40+3"; done
fi

for n in 1 2 3 4 5 6 7 8; do
  refused clone,clone3 "error=EAGAIN:when=$n"
done
for call in epoll_create1:EMFILE eventfd2:ENFILE epoll_ctl:ENOSPC epoll_ctl:ENOMEM io_uring_setup:ENOMEM \
  socket:EMFILE socket:EACCES bind:EACCES listen:EADDRINUSE getsockname:ENOBUFS setsockopt:ENOPROTOOPT \
  rt_sigaction:EINVAL prlimit64:EPERM sched_getaffinity:EPERM; do
  for n in 1 2; do refused "${call%:*}" "error=${call#*:}:when=$n"; done
done
