# Out of file descriptors: the server keeps serving those it has, and takes the others as places free.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'Windows has no such limit'
ulimit -n 2048 2>/dev/null || skip "500 clients need more files than this shell may open (ulimit -n is $(ulimit -n))"

serve echo sh -c 'ulimit -n 64; exec "$@"' - "$PORTICO" run echo tcp://127.0.0.1:0
run "$PORTICO" run $E2E/crowd.lua "$url" 500 30
check '500 clients, 64 descriptors: all are served, 30 of them all the time' \
  [ "$(tail -n 1 "$T/run.out")" = 'served=500 held=30' ]
check "no client saw an error (exit code $code): $(head -n 20 "$T/run.err")" [ $code -eq 0 -a ! -s "$T/run.err" ]
check 'the log says what to do' grep -q 'warn .*ulimit -n' "$T/echo.err"
check 'it does not say so for each client' [ "$(grep -c 'ulimit -n' "$T/echo.err")" -le 20 ]
run "$PORTICO" run send "$url" --message after --receive -
check 'afterwards it serves as before' [ "$(cat "$T/run.out")" = after ]
stop echo
