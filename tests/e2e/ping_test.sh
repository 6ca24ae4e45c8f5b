# ping: the server that redis-benchmark is pointed at answers like redis, whatever the cuts, and closes on garbage.
. "$(dirname "$0")/lib.sh"

serve ping "$PORTICO" run tests/bench/ping.lua tcp://127.0.0.1:0
run "$PORTICO" run $E2E/ping_cuts.lua "$url"
check 'every request, cut at every byte' grep -q '^all cuts' "$T/run.out"

# answered REQUEST ANSWER WHAT: both as printf writes them; send half-closes, so the server ends in any case.
answered() {
  printf -- "$1" >"$T/request"
  printf -- "$2" >"$T/answer"
  run "$PORTICO" run send "$url" --file "$T/request" --receive "$T/back"
  check "$3" same "$T/back" "$T/answer"
}

requests=20000
usual slow 'it takes more than its budget for 20000 requests' || requests=500
for i in $(seq $requests); do printf '*1\r\n$4\r\nPING\r\n'; done >"$T/pings"
for i in $(seq $requests); do printf '+PONG\r\n'; done >"$T/pongs"
run "$PORTICO" run send "$url" --file "$T/pings" --receive "$T/back"
check "$requests PINGs at a time" same "$T/back" "$T/pongs"
answered 'ping\nECHO hello\nquit\nping\n' '+PONG\r\n$5\r\nhello\r\n+OK\r\n' 'lines; nothing after QUIT'
answered 'echo\nping a b\n' \
  "-ERR wrong number of arguments for 'echo' command\r\n-ERR wrong number of arguments for 'ping' command\r\n" \
  'too few and too many words'

wrong='-ERR Protocol error:'
answered '*x\r\nping\n' "$wrong invalid multibulk length\r\n" 'no number'
answered 'ping\n*1\r\n+4\r\nping\r\n' "+PONG\r\n$wrong expected '\$', got '+'\r\n" 'no bulk string'
answered '*1\r\n$-1\r\n' "$wrong invalid bulk length\r\n" 'a length below 0'
answered '*1\r\n$4\r\npings\r\n' "$wrong expected the end of a bulk string\r\n" 'a length too small'
answered '*1000000000\r\n' "$wrong invalid multibulk length\r\n" 'a thousand million words'

# Without an end a request is kept up to a limit only.
head -c 8M /dev/zero >"$T/request"
printf -- "$wrong too big request\r\n" >"$T/answer"
run "$PORTICO" run send "$url" --file "$T/request" --receive "$T/back"
check 'a request without an end' same "$T/back" "$T/answer"
answered 'ping\n' '+PONG\r\n' 'and others are served'
stop ping
