# Standard streams that are closed, full, gone or never read: the server goes on serving.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'Wine has no such streams'

# talk NAME COMMAND...: starts a talker whose streams COMMAND sets; leaves its address in $url.
talk() {
  talker=$1
  shift
  : >"$T/$talker.url"
  start "$talker" sh -c "$1" - "$PORTICO" run --vms 2 --log-format "${format-text}" $E2E/talker.lua "$T/$talker.url"
  await "$talker.url" '^listening on ' || exit 1
  url=$(sed -n 's/^listening on //p' "$T/$talker.url")
}
asks() { # MESSAGE: it must come back, and nothing else
  run timeout 20 "$PORTICO" run send "$url" --message "$1" --receive "$T/answer"
  [ $code -eq 0 ] && [ "$(cat "$T/answer")" = "$1" ]
}
ends() { # WHAT NAME [CODE]: by SIGTERM
  eval "kill -TERM \$pid_$2"
  ended "$2"
  check "$1: SIGTERM ends it, exit code ${3-0}" [ "$code" -eq "${3-0}" ]
}

for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
  talk closed "exec \"\$@\" $closed"
  check "started with $closed: it serves, and what it says is sent to nobody" asks all
  for fd in 0 1 2; do
    case "$fd$(readlink "/proc/$pid_closed/fd/$fd")" in
      *socket:* | *anon_inode* | [012]) fail "started with $closed: descriptor $fd is taken" ;;
    esac
  done
  check "started with $closed: the second time, too" asks all
  case $closed in
    *' >&-'* | '>&-'*) ends "started with $closed, and what it printed has not arrived" closed 1 ;;
    *) ends "started with $closed" closed ;;
  esac
done

talk full 'exec "$@" >/dev/full 2>/dev/full'
check 'a full disk for log and output: it serves' asks 'log 100'
check 'a full disk: still' asks all
ends 'a full disk, and what it printed has not arrived' full 1

mkfifo "$T/pipe"
head -n 1 <"$T/pipe" >"$T/head.out" & # reads one line, and goes
head=$!
talk gone "exec \"\$@\" 2>$T/pipe"
check 'the reader of the log leaves: it serves' asks 'log 5'
wait "$head"
check 'the reader of the log has gone: it serves' asks 'log 100'
ends 'the reader of the log has gone' gone

for format in text json; do
  exec 7<>"$T/pipe" # this shell could read it, and does not
  talk slow "exec \"\$@\" 2>$T/pipe 7>&-"
  check "$format: nobody reads the log: it serves" asks 'log 2000'
  check "$format: nobody reads the log: the other VM, too" asks 'log 2000'
  check "$format: nobody reads the log: still" asks 'log 2'
  cat <"$T/pipe" >"$T/slow.log" 7>&- & # now somebody does
  cat=$!
  exec 7>&-
  asks 'log 2'
  asks 'log 2'
  ends "$format: a log that was blocked" slow
  wait "$cat"
  check "$format: a record says how many are lost: $(grep -o '[0-9]* log records are lost' "$T/slow.log")" \
    grep -q '[0-9][0-9][0-9] log records are lost' "$T/slow.log"
  cut=$(grep -c -v -e 'end$' -e 'end"}$' -e 'are lost' -e 'interrupted' "$T/slow.log")
  check "$format: and no record is cut" [ "$cut" -eq 0 ]
done
format=text

# A record that is longer than a pipe: the rest of it goes before anything else.
cat >"$T/long.lua" <<'LUA'
local portico = require "portico"
portico.log("info", ("x"):rep(100000), "long end")
portico.log("info", "lost end")
print "logged"
io.stdout:flush()
io.read()
portico.log("info", "last end")
LUA
mkfifo "$T/go"
exec 7<>"$T/pipe" 8<>"$T/go"
start long sh -c "exec \"\$@\" 2>$T/pipe <$T/go 7>&- 8>&-" - "$PORTICO" run "$T/long.lua"
await long.out '^logged'
head -c 65536 <"$T/pipe" >"$T/long.log"
echo go >&8
ended long
exec 9<"$T/pipe" 7>&- 8>&-
cat <&9 >>"$T/long.log"
exec 9<&-
grep -o -e 'long end$' -e 'lost end$' -e 'last end$' -e '1 log records are lost' "$T/long.log" >"$T/long.ends"
printf '%s\n' 'long end' '1 log records are lost' 'last end' >"$T/long.expected"
check 'a record that was begun is ended before the next' same "$T/long.ends" "$T/long.expected"

exec 7<>"$T/pipe"
talk stuck "exec \"\$@\" 2>$T/pipe 7>&-"
asks 'log 2000'
ends 'nobody ever reads the log' stuck
exec 7>&-

# Printing waits for the reader: that is what a pipe is. But it holds up one VM only.
exec 7<>"$T/pipe"
talk printing "exec \"\$@\" >$T/pipe 7>&-"
start client "$PORTICO" run send "$url" --message 'print 2000' --receive -
await printing.err 'warn .*on_data .*has been blocked for .* s: it stalls VM'
check 'nobody reads what one VM prints: the other serves' asks 'log 1'
check 'and still does' asks 'log 1'
cat <"$T/pipe" >"$T/printed" 7>&- &
cat=$!
exec 7>&-
ended client
check 'once somebody reads, that VM goes on' [ "$(cat "$T/client.out")" = 'print 2000' ]
ends 'what was printed is read' printing
wait "$cat"
check 'nothing that was printed is lost' [ "$(grep -c ' *end$' "$T/printed")" -eq 2000 ]

exec 7<>"$T/pipe"
talk printing "exec \"\$@\" >$T/pipe 7>&-"
start client "$PORTICO" run send "$url" --message 'print 2000'
asks 'log 1'
tries=0
while [ $tries -lt 100 ] && ! grep -q pipe "/proc/$pid_printing"/task/*/wchan; do
  tries=$((tries + 1))
  sleep 0.05
done
kill -TERM "$pid_printing"
await printing.err 'interrupted: draining'
ends 'nobody ever reads what it prints: a second' printing
stop client
