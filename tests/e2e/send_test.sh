# send: every byte leaves, however partial the sends are; what goes wrong is one line and exit code 1.
. "$(dirname "$0")/lib.sh"

random_file "$T/random" 64
serve slow "$PORTICO" run --vms 1 $E2E/slow_reader.lua "$T/back"
run "$PORTICO" run send "$url" --file "$T/random" --send-buffer 4096
check 'a 4 KiB send buffer to a reader of 1 KiB pieces: exit code 0' [ $code -eq 0 ]
ended slow
usual tiny 'there are no pieces of 1 KiB' && check 'the reader ended well' grep -qx 'largest=1024 orderly' "$T/slow.out"
check '64 MiB arrived intact' same "$T/random" "$T/back"
check 'progress was shown' grep -q '^bytes=[0-9]*/67108864$' "$T/run.out"

serve gone "$PORTICO" run echo tcp://127.0.0.1:0
kill "$pid_gone" # in order: of one that is killed the kernel may close the listener a moment after its end
ended gone
run "$PORTICO" run send "$url"
says 1 "^portico: send: cannot connect to $url: .*refused" 'nobody listens'

serve abort "$PORTICO" run $E2E/aborting_server.lua 1000000
run "$PORTICO" run send "$url" --file "$T/random"
says 1 "^portico: send: cannot send all to $url: .*reset" 'a reset in mid-send'
stop abort
serve abort "$PORTICO" run $E2E/aborting_server.lua 0
run "$PORTICO" run send "$url" --file "$T/random"
says 1 "^portico: send: cannot [a-z ]* to $url: .*reset" 'a reset at once'
stop abort

serve echo "$PORTICO" run echo tcp://127.0.0.1:0
run "$PORTICO" run send "$url" --file "$T/missing"
says 1 'cannot read: .*missing: No such file' 'a file that is not there'
if [ "$PORTICO_OS" = linux ]; then
  run "$PORTICO" run send "$url" --file "$T"
  says 1 'cannot read: .*directory' 'a folder'
  run "$PORTICO" run send "$url" --file "$T/random" --receive /dev/full
  says 1 'cannot write: /dev/full: No space left' 'a full disk'
fi
run "$PORTICO" run send "$url" --receive "$T/no/such/folder"
says 1 'cannot write: .*no/such/folder: No such file' 'a place that cannot be written'
run "$PORTICO" run send "$url" --message '' --receive -
check 'an empty message is fine' [ $code -eq 0 -a ! -s "$T/run.out" ]
stop echo

if serve6=$("$PORTICO" run $E2E/has_ipv6.lua 2>/dev/null); then
  serve echo "$PORTICO" run echo 'tcp://[::1]:0'
  run "$PORTICO" run send "$url" --message six --receive -
  check "IPv6: $url" [ "$(cat "$T/run.out")" = six ]
  stop echo
else
  echo "not checked: IPv6, as this machine has no [::1]: $serve6"
fi
serve echo "$PORTICO" run echo tcp://localhost:0
run "$PORTICO" run send "tcp://localhost:${url##*:}" --message name --receive -
check 'a name: localhost' [ "$(cat "$T/run.out")" = name ]
stop echo
