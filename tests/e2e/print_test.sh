# print: the output byte for byte, the same on every system, and the counters.
. "$(dirname "$0")/lib.sh"

# What it shows, without the ports of the clients.
shown() { sed 's/^\(connected\|closed\): tcp:\/\/127\.0\.0\.1:[0-9]*/\1: PEER/' "$T/$1.out"; }

serve print "$PORTICO" run print tcp://127.0.0.1:0
run "$PORTICO" run send "$url"
await print.out '^closed: '
cat >"$T/article" <<'END'
connected: PEER
====================================
this is a long test string
abc

====================================
bytes=31, total=31
closed: PEER, total=31
END
shown print >"$T/shown"
check "the article's string" same "$T/shown" "$T/article"
check 'send reports what has left' [ "$(cat "$T/run.out")" = 'bytes=31/31' ]
stop print

i=0
while [ $i -lt 256 ]; do
  printf "\\$(printf %03o $i)"
  i=$((i + 1))
done >"$T/all-bytes"
printf 'r\303\251sum\303\251 \346\274\242 \302\233 \233 \360\237\230\200' >>"$T/all-bytes"

serve print "$PORTICO" run print tcp://127.0.0.1:0
run "$PORTICO" run send "$url" --file "$T/all-bytes"
await print.out '^closed: '
shown print >"$T/shown"
if usual tiny 'there are no pieces of 256 bytes'; then
  check 'every byte: controls and what is no UTF-8 are escaped' same "$T/shown" $E2E/print_all_bytes.txt
fi
stop print

serve print "$PORTICO" run print tcp://127.0.0.1:0 --raw
run "$PORTICO" run send "$url" --file "$T/all-bytes"
await print.out '^closed: '
"$PORTICO" run $E2E/unprint.lua <"$T/print.out" >"$T/bytes"
check '--raw: every byte as it is' same "$T/bytes" "$T/all-bytes"
stop print

seq 1 700000 >"$T/numbers"
serve print "$PORTICO" run print tcp://127.0.0.1:0 --raw
run "$PORTICO" run send "$url" --file "$T/numbers"
await print.out '^closed: '
"$PORTICO" run $E2E/unprint.lua <"$T/print.out" >"$T/bytes"
check 'many pieces, none above 8192 bytes: counters and bytes are right' same "$T/bytes" "$T/numbers"
stop print

serve print "$PORTICO" run print tcp://127.0.0.1:0
server=$url
serve resetter "$PORTICO" run $E2E/resetter.lua "$server"
await print.out 'bytes=1, total=1'
run "$PORTICO" run send "$url" --message reset
await print.out '^closed: .*, total=1, connection reset by the peer' && pass 'a reset is shown as one'
run "$PORTICO" run send "$server" --message next
await print.out 'bytes=4, total=4' && pass 'the next connection counts from zero'
stop print
