# lib.sh - what the end-to-end tests share. Each *_test.sh begins with:  . "$(dirname "$0")/lib.sh"
#   PORTICO          the program, or a script that starts it under Wine (default build/portico)
#   PORTICO_PROGRAM  the program itself, where PORTICO is a script ($PORTICO)
#   PORTICO_OS       linux or windows: what kind of program that is
#   PORTICO_HOSTILE  tiny: its sizes are; slow: its Lua collects all the time; see tests/README.md. Else empty
# A test prints a line for each thing it checks. Exit code: 0 all held, 1 something did not, 77 skipped.
# Nothing here sleeps to wait for something: it waits for a line in a file, or for a process to end.
set -u

# The whole test is bounded; a test that hangs is ended together with what it started.
if [ -z "${E2E_BOUNDED-}" ]; then
  export E2E_BOUNDED=1
  exec timeout -k 5 110 sh "$0" "$@"
fi

cd "$(dirname "$0")/../.." || exit 1
PORTICO=${PORTICO:-$PWD/build/portico}
PORTICO_PROGRAM=${PORTICO_PROGRAM:-$PORTICO}
PORTICO_OS=${PORTICO_OS:-linux}
E2E=tests/e2e
failed=0
started=

skip() {
  echo "skipped: $*"
  exit 77
}

# usual tiny|slow WHAT...: true, unless the program is so, and cannot do that
usual() {
  [ "${PORTICO_HOSTILE-}" = "$1" ] || return 0
  shift
  echo "skipped: $*"
  return 1
}

[ -x "$PORTICO" ] || { echo "there is no $PORTICO: build first (sh tests/run.sh)"; exit 1; }
T=$(mktemp -d) || exit 1

# Where the system refuses the backend that a script around the program asks for, another one would serve.
if [ "$PORTICO" != "$PORTICO_PROGRAM" ] && [ "$PORTICO_OS" = linux ]; then
  : >"$T/nothing.lua"
  refused=$("$PORTICO" run "$T/nothing.lua" 2>&1 | grep 'is refused here') && { rm -rf "$T"; skip "$refused"; }
fi

# end_pids PID...: ends processes in order, so that each checks its own end and leaves its figures (sanitizers,
# coverage); the hard way after 5 s. A second SIGTERM stops the program at once; Wine's loader would not pass them on.
end_pids() {
  if [ "$PORTICO_OS" = linux ]; then
    for one in "$@"; do
      tries=0
      kill -TERM "$one" 2>/dev/null
      while [ $tries -lt 100 ] && kill -0 "$one" 2>/dev/null; do
        [ $tries -ne 1 ] || kill -TERM "$one" 2>/dev/null # not right behind the first: the two would be one
        sleep 0.05
        tries=$((tries + 1))
      done
    done
  fi
  for one in "$@"; do
    kill -KILL "$one" 2>/dev/null
    wait "$one" 2>/dev/null
  done
  true
}

finish() {
  code=$?
  trap - EXIT
  # shellcheck disable=SC2086
  end_pids $started
  if grep -q -e 'Sanitizer' -e 'broken invariant' "$T"/*.err 2>/dev/null; then
    echo "FAIL  a program found a mistake of its own"
    failed=1
  fi
  [ $code -ne 0 ] || code=$failed
  if [ $code -ne 0 ] && [ $code -ne 77 ]; then
    for file in "$T"/*.err; do
      [ -s "$file" ] && echo "--- $(basename "$file"), its end:" && tail -n 20 "$file"
    done
  fi
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'echo "FAIL  out of time, or told to end"; exit 1' HUP INT TERM

pass() { echo "ok    $1"; }
fail() {
  echo "FAIL  $1"
  failed=1
}

# True if the program is built with the thread sanitizer, which holds signals back while a thread makes no calls.
thread_sanitizer() { grep -q __tsan_init "$PORTICO_PROGRAM"; }

# check WHAT COMMAND...: the command must succeed.
check() {
  what=$1
  shift
  if "$@"; then pass "$what"; else fail "$what"; fi
}

# run COMMAND...: runs it to its end; leaves $code, $T/run.out and $T/run.err.
run() {
  "$@" >"$T/run.out" 2>"$T/run.err" </dev/null
  code=$?
  no_cr "$T/run.err"
}

# Windows programs end the lines of stderr with CR LF.
no_cr() { [ "$PORTICO_OS" != windows ] || sed -i 's/\r$//' "$1"; }

# says CODE PATTERN WHAT: the last run ended with CODE and said one line on stderr, which matches PATTERN.
says() {
  if [ $code -ne "$1" ]; then
    fail "$3: exit code $code, not $1"
  elif [ "$(wc -l <"$T/run.err")" -ne 1 ] || ! grep -q -e "$2" "$T/run.err"; then
    fail "$3: not one line like '$2', but:"
    head -n 5 "$T/run.err"
  else
    pass "$3: $(cat "$T/run.err")"
  fi
}

# start NAME COMMAND...: runs it in the background; leaves $pid_NAME, $T/NAME.out and $T/NAME.err.
start() {
  name=$1
  shift
  : >"$T/$name.out" >"$T/$name.err" # await may look before the process has begun
  "$@" >"$T/$name.out" 2>"$T/$name.err" </dev/null &
  eval "pid_$name=$!"
  started="$started $!"
}

# await NAME.out|NAME.err PATTERN: waits until the background process has written a line that matches.
await() {
  eval "pid=\$pid_${1%.*}"
  mkfifo "$T/await" || exit 1
  tail -n +1 -s 0.1 -f --pid="$pid" "$T/$1" >"$T/await" 2>/dev/null &
  tail=$!
  grep -m 1 -q -e "$2" <"$T/await"
  found=$?
  kill "$tail" 2>/dev/null
  wait "$tail" 2>/dev/null
  rm "$T/await"
  [ $found -eq 0 ] || fail "${1%.*} never wrote a line like '$2'"
  return $found
}

# serve NAME COMMAND...: start, then wait until it listens; leaves the address in $url.
serve() {
  name=$1
  start "$@"
  await "$name.err" '^listening on ' || exit 1
  url=$(sed -n 's/^listening on \([^[:cntrl:]]*\).*/\1/p' "$T/$name.err" | head -n 1)
}

# ended NAME: waits for the end of a background process; leaves $code.
ended() {
  eval "pid=\$pid_$1"
  wait "$pid"
  code=$?
  no_cr "$T/$1.err"
}

# stop NAME: ends a background process, in order where the system can ask for that.
stop() {
  eval "pid=\$pid_$1"
  end_pids "$pid"
}

# Bytes that differ everywhere, the same on every run: random_file PATH MIB
random_file() { head -c "$2M" /dev/urandom >"$1"; }

same() { cmp "$1" "$2"; }
digest() { sha256sum <"$1"; }
