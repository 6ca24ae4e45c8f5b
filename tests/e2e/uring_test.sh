# io_uring: serves where the system allows it; where it does not, epoll serves and one line says why.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'Windows has no io_uring'
grep -q io_uring "$PORTICO" || skip 'this program is built without io_uring'
[ -x "${NO_URING-}" ] || skip 'there is no helper that forbids io_uring (NO_URING names it)'
"$NO_URING" true || skip 'this system allows no seccomp filter'

serve refused "$NO_URING" "$PORTICO" run --backend uring echo tcp://127.0.0.1:0
why='io_uring is refused here (io_uring_setup: permission denied): using epoll instead'
check 'forbidden, one line says what and why' [ "$(grep -c "$why" "$T/refused.err")" = 1 ]
run "$PORTICO" run send "$url" --message still --receive -
check 'forbidden, it serves all the same' [ "$(cat "$T/run.out")" = still ]
stop refused

serve allowed "$PORTICO" run --backend uring echo tcp://127.0.0.1:0
check 'allowed, or refused by this system, it serves' [ -n "$url" ]
if grep -q 'io_uring is refused' "$T/allowed.err"; then skip "$(grep 'io_uring is refused' "$T/allowed.err")"; fi
random_file "$T/16m" 16
run "$PORTICO" run send "$url" --file "$T/16m" --receive "$T/back"
check '16 MiB come back as they were' same "$T/16m" "$T/back"
