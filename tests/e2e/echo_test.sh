# echo: every byte comes back, in order, also those that were on their way when the peer finished sending.
. "$(dirname "$0")/lib.sh"

serve echo "$PORTICO" run echo tcp://127.0.0.1:0
run "$PORTICO" run send "$url" --receive -
printf 'this is a long test string\nabc\n' >"$T/article"
check "the article's string comes back" same "$T/run.out" "$T/article"
check 'the report does not mix with the answer' grep -qx 'bytes=31/31' "$T/run.err"

# send half-closes as soon as the last byte has left: all that echo still holds must come back after that.
random_file "$T/random" 16
run "$PORTICO" run send "$url" --file "$T/random" --receive "$T/back"
check 'half-close: 16 MiB come back complete' same "$T/random" "$T/back"
check 'send ended well' [ $code -eq 0 ]
check 'its last line says so' [ "$(tail -n 1 "$T/run.out")" = bytes=16777216/16777216 ]

: >"$T/empty"
run "$PORTICO" run send "$url" --file "$T/empty" --receive "$T/back"
check 'an empty file is fine' [ $code -eq 0 -a ! -s "$T/back" ]
check 'and reported' grep -qx 'bytes=0/0' "$T/run.out"
"$PORTICO" run send "$url" - --receive "$T/back" <"$T/random" >"$T/run.out"
check 'standard input' same "$T/random" "$T/back"
check 'its total is unknown until it ends' [ "$(tail -n 1 "$T/run.out")" = bytes=16777216/16777216 ]

random_file "$T/small" 2
for i in 1 2 3 4 5 6 7 8; do
  start "client$i" "$PORTICO" run send "$url" --file "$T/small" --receive "$T/back$i"
done
for i in 1 2 3 4 5 6 7 8; do
  ended "client$i"
  check "client $i of 8 at a time" same "$T/small" "$T/back$i"
done
stop echo
