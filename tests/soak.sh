#!/bin/sh
# The soak: the real program under all kinds of clients for so many minutes, and afterwards nothing may be left of it.
#   sh tests/soak.sh MINUTES [--backend epoll|uring] [--preset NAME] [--clients N] [--seed N]
# Builds first, unless PORTICO (the program) and SOAK_LOAD (tests/soak/load.c, built) are set. Prints a line for each
# phase, then a table. Exit code: 0 all is as it was, 1 something is not, 77 skipped. See tests/soak/README.md.
set -u
cd "$(dirname "$0")/.." || exit 1

usage() {
  echo "usage: sh tests/soak.sh MINUTES [--backend epoll|uring] [--preset NAME] [--clients N] [--seed N]" >&2
  exit 2
}
minutes='' backend=epoll preset=default clients=500 seed=$$
while [ $# -gt 0 ]; do
  case $1 in
    --backend | --preset | --clients | --seed)
      [ $# -gt 1 ] || usage
      eval "${1#--}=\$2"
      shift ;;
    -*) usage ;;
    *) minutes=$1 ;;
  esac
  shift
done
case $minutes in '' | *[!0-9.]* | *.*.* | .) usage ;; esac
case $clients in '' | 0* | *[!0-9]*) usage ;; esac
case $seed in '' | *[!0-9]*) usage ;; esac
case $backend in epoll | uring) ;; *) usage ;; esac
seconds=$(awk -v m="$minutes" 'BEGIN { print m * 60 }')
warm_up=$(awk -v s="$seconds" 'BEGIN { w = s / 5; print (w > 20 ? 20 : w) }')
[ "$(ulimit -n)" -ge $((3 * clients + 200)) ] || ulimit -n $((3 * clients + 200)) 2>/dev/null ||
  { echo "skipped: $clients clients need $((3 * clients + 200)) files (ulimit -n is $(ulimit -n))"; exit 77; }

if [ -z "${PORTICO-}" ] || [ -z "${SOAK_LOAD-}" ]; then
  build=build
  [ "$preset" = default ] || build=build-$preset
  cmake --preset "$preset" >/dev/null || exit 1
  cmake --build --preset "$preset" --target portico soak_load >/dev/null || exit 1
  PORTICO=$build/portico SOAK_LOAD=$build/tests/soak_load
fi
sanitizer=none loops=loops norandom=''
if grep -q __asan_init "$PORTICO"; then sanitizer=address; fi
if grep -q __tsan_init "$PORTICO"; then
  # It cannot live with much randomness in the memory map, and holds back the signal that ends an endless loop.
  sanitizer=thread loops=
  ! setarch -R true 2>/dev/null || norandom='setarch -R'
fi
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_stack_use_after_return=1:quarantine_size_mb=16}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}"

T=$(mktemp -d) || exit 1
pid='' failed=0
finish() {
  code=$?
  [ -z "$pid" ] || { kill -CONT "$pid"; kill -KILL "$pid"; wait "$pid"; } 2>/dev/null
  [ $code -eq 0 ] || grep -v -e 'raised in' -e 'traceback' -e '^  ' "$T/server.err" | tail -n 30
  rm -rf "$T"
  exit $code
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
bad() { echo "OFF   $*"; failed=1; }
phase() { echo "$(date +%H:%M:%S)  $*"; }

# ---- phases ----

serve() {
  # shellcheck disable=SC2086
  $norandom "$PORTICO" run --backend "$backend" --budget 300 tests/soak/server.lua $loops >"$T/server.out" \
    2>"$T/server.err" </dev/null &
  pid=$!
  tries=0
  until grep -q '^listening on all' "$T/server.err"; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] && kill -0 "$pid" 2>/dev/null || { bad 'the server does not start'; exit 1; }
    sleep 0.05
  done
  if grep 'is refused here' "$T/server.err"; then echo "skipped: no $backend here"; exit 77; fi
  ports=$(sed -n 's/^\([a-z]*\) tcp:.*:\([0-9]*\)$/\1=\2/p' "$T/server.err" | grep -v '^control')
  controls=$(sed -n 's/^control //p' "$T/server.err")
  files began
  listening=$(sockets began)
}

load() { # NAME SECONDS SEED
  # shellcheck disable=SC2086
  "$SOAK_LOAD" "$2" "$clients" "$3" "$pid" $ports >"$T/load.out" 2>"$T/load.err"
  load_code=$?
  phase "$1: $(cat "$T/load.out" "$T/load.err")"
  [ $load_code -eq 0 ] || { bad "$1: a client was not served"; exit 1; }
}

# What its descriptors are, in a file of that name; how many of those are sockets.
files() { find "/proc/$pid/fd" -type l -printf '%l\n' 2>/dev/null | sed 's/[0-9][0-9]*/N/g' | sort >"$T/$1.files"; }
sockets() { grep -c '^socket:' "$T/$1.files"; }

# What the process holds, in variables of this prefix, once it is at rest.
look() {
  # shellcheck disable=SC2086
  "$PORTICO" run --vms 1 tests/soak/figures.lua $controls >"$T/figures" 2>&1 || bad "no rest within 60 s"
  phase "at rest: $(cat "$T/figures")"
  for pair in $(cat "$T/figures"); do eval "$1_${pair%%=*}=${pair#*=}"; done
  tries=0 # the connections of the question linger for a second, and a listener comes and goes
  files "$1"
  while [ "$(sockets "$1")" -ne "$listening" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
    files "$1"
  done
  eval "$1_files=$(wc -l <"$T/$1.files")"
  # Not those of io_uring's that the kernel lends the process, and takes back when it likes.
  eval "$1_threads=$(cat "/proc/$pid"/task/*/comm | grep -c -v '^iou-')"
  eval "$1_rss=$(awk '/^VmRSS/ { printf "%.0f", $2 * 1024 }' "/proc/$pid/status")"
}

# row WHAT BEGAN ENDED BOUND: ENDED is at most BOUND
row() {
  verdict=ok
  [ "$3" -le "$4" ] || { verdict=OFF; failed=1; }
  printf '%-24s %14s %14s %14s  %s\n' "$1" "$2" "$3" "$4" $verdict
}

phase "$minutes min, $clients clients, $backend, sanitizer: $sanitizer, seed $seed"
serve
load 'warm-up' "$warm_up" "$seed"
look began
load 'load' "$seconds" $((seed + 1))
look ended

printf '%-24s %14s %14s %14s\n' '' began ended bound
row 'open descriptors' "$began_files" "$ended_files" "$began_files"
[ "$ended_files" -le "$began_files" ] || diff "$T/began.files" "$T/ended.files"
row 'threads' "$began_threads" "$ended_threads" "$began_threads"
row 'connections' "$began_open" "$ended_open" 0
row 'opened and not closed' $((began_opened - began_closed)) $((ended_opened - ended_closed)) 0
row 'pending timers' "$began_pending" "$ended_pending" 0
row 'bytes of the VMs' "$began_bytes" "$ended_bytes" $((began_bytes + began_bytes / 4 + 65536))
if [ $sanitizer = none ]; then
  row 'resident memory' "$began_rss" "$ended_rss" $((began_rss + began_rss / 4 + 16777216))
else
  echo "resident memory          not compared: $began_rss, then $ended_rss bytes, most of them the sanitizer's"
fi
[ "$ended_beats" -gt "$began_beats" ] || bad 'the beat has stopped'
[ "$ended_errors" -gt 0 ] || bad 'no handler has raised an error'

kill -TERM "$pid"
wait "$pid"
code=$?
pid=''
[ $code -eq 0 ] || bad "exit code $code after SIGTERM"
if grep -e 'Sanitizer' -e 'broken invariant' "$T/server.err"; then bad 'the program found a mistake of its own'; fi
grep -e '^[0-9:.]*Z ' "$T/server.err" | grep -v -e 'raised in' -e 'goes on' -e 'interrupted: ' -e 'time budget of' \
  -e 'has been blocked' >"$T/strange"
[ ! -s "$T/strange" ] || { head -n 5 "$T/strange"; bad 'the log says what nobody expects'; }
if [ $failed -ne 0 ]; then
  echo "soak: OFF (sh tests/soak.sh $minutes --backend $backend --clients $clients --seed $seed)"
  exit 1
fi
echo "soak: $minutes min on $backend, all is as it was"
