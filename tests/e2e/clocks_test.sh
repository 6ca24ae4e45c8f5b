# Clocks that jump and a process that stands still: timers come in time and once, connections stay.
#   PORTICO_STOPPED=30 sh tests/e2e/clocks_test.sh     stands still for so many seconds, instead of 2
. "$(dirname "$0")/lib.sh"
stopped=${PORTICO_STOPPED:-2}
[ "$PORTICO_OS" = linux ] || skip 'it needs libfaketime and SIGSTOP'

# figure NAME: a number of the line that beats.lua has printed
figure() { sed -n "s/.*$1=\([-0-9]*\).*/\1/p" "$T/beats.out"; }
between() { [ "${1:--1}" -ge "$2" ] && [ "$1" -le "$3" ]; }
beats_are_well() { # WHAT MOST-BEATS
  check "$1: it ends well" [ "$code" -eq 0 -a ! -s "$T/errors" ]
  check "$1: the beat went on ($(figure beats) times), and no beat was made up for" \
    between "$(figure beats)" 15 "$2"
  check "$1: at most a late one and the next came together ($(figure most))" between "$(figure most)" 1 3
}
beat() { # FAKETIME-MONOTONIC JUMP
  echo +0 >"$T/faketime"
  start beats env LD_PRELOAD="$faketime" FAKETIME_TIMESTAMP_FILE="$T/faketime" FAKETIME_NO_CACHE=1 \
    FAKETIME_DONT_FAKE_MONOTONIC="$1" DONT_FAKE_MONOTONIC="$1" \
    "$PORTICO_PROGRAM" run --vms 1 --backend "$backend" $E2E/beats.lua "$T/faketime" "$2"
  ended beats
  grep -v '^half a second' "$T/beats.err" >"$T/errors"
}

backend=epoll
case $PORTICO in *-uring) backend=uring ;; esac
faketime=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null)
if [ -z "$faketime" ]; then
  echo 'not checked: clocks that jump, for there is no libfaketime (Debian package faketime)'
elif grep -q -e __tsan_init -e __asan_init "$PORTICO_PROGRAM"; then
  echo 'not checked: clocks that jump, for libfaketime does not go together with a sanitizer'
else
  for jump in +5h -5h; do
    beat 1 $jump
    beats_are_well "the wall clock jumps by $jump" 101
    check "it did jump ($(figure wall) s)" between "$(($(figure wall) * ${jump%5h}1))" 17990 18010
    check 'a timer of one second comes in time' between "$(figure late)" 0 0
    check 'none of an hour does' [ "$(figure hours)" = 0 ]
  done
  beat 0 +5h
  beats_are_well 'all clocks jump by 5 hours, as after a sleep of the machine' 101
  check "they did jump ($(figure elapsed) s)" between "$(figure elapsed)" 17990 18010
  check 'a timer of an hour comes, once' [ "$(figure hours)" = 1 ]
fi

start beats "$PORTICO" run --vms 1 $E2E/beats.lua
await beats.err 'half a second'
kill -STOP "$pid_beats"
sleep "$stopped" # nothing to be waited for: this is how long it stands still
kill -CONT "$pid_beats"
ended beats
grep -v '^half a second' "$T/beats.err" >"$T/errors"
beats_are_well "stopped for $stopped s" 60

serve echo "$PORTICO" run echo tcp://127.0.0.1:0
start before "$PORTICO" run $E2E/crowd.lua "$url" 300 30
await before.out '^all places are taken'
kill -STOP "$pid_echo"
start during "$PORTICO" run $E2E/crowd.lua "$url" 100 30
sleep "$stopped" # as above
kill -CONT "$pid_echo"
ended before
check 'a stopped server: those who were connected are served' [ "$(tail -n 1 "$T/before.out")" = 'served=300 held=30' ]
ended during
check 'and those who came meanwhile' [ "$(tail -n 1 "$T/during.out")" = 'served=100 held=30' ]
stop echo
