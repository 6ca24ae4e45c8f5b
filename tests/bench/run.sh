#!/bin/sh
# run.sh - measures what Portico costs: against a bare C loop, with --peers against other servers, with --scale as
# numbers grow. README.md says what each workload is and how to read what is printed.
# shellcheck disable=SC1090,SC1091,SC2015,SC2034,SC2086,SC2154,SC3045
# (Lists of words are split on purpose, variables cross files, dash and bash know ulimit -n.)
set -u

usage() {
  cat <<'END'
usage: sh tests/bench/run.sh [OPTIONS]
  --quick        one pair of 1 s windows: does it work at all? (its figures are too noisy to quote)
  --pairs N      pairs of runs for each workload (7)
  --seconds S    seconds of each window (3)
  --peers        also: luv, cqueues, copas, node, redis (installs what is missing of them)
  --backends     also: io_uring beside epoll
  --scale        also: cost as numbers grow, into build/bench/scale.json and plots beside this file
  --only NAMES   a comma-separated choice of: c1 c64 c1000 c10000 c64x16 c64x64 c64paced c64x4k c64x64k reconnect
                 broadcast1 broadcast10 broadcast100 broadcast1000 idle timers packets start sleeper (all), and with
                 --peers: luv cqueues copas node ping, or one workload of a peer: luv-c64; none: nothing of these
  --backend NAME the completion port of every portico: auto, epoll ... (auto)
  --no-build     measure what is there
  --check        exit with 1 when a figure misses its bar or could not be measured
environment (defaults in brackets; the address is added as last argument)
  PORTICO_BUILD    the build folder [build]
  PORTICO_ECHO     the echo server to measure [$PORTICO_BUILD/portico run echo]
  PORTICO_SLEEPER  the sleeper server [$PORTICO_BUILD/portico run --vms 4 --concurrency 2 tests/bench/sleeper.lua]
END
}

misused() { echo "bench: $*" >&2; usage >&2; exit 2; }

pairs=7 seconds=3 warmup=0.5 only=all build=yes check=no quick=no peers=no
backends=no scale=no backend=''
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=yes pairs=1 seconds=1 warmup=0.2 ;;
    --pairs|--seconds|--only|--backend) [ $# -ge 2 ] || misused "$1 needs a value"
      case $1 in --pairs) pairs=$2 ;; --seconds) seconds=$2 ;; --only) only=$2 ;; --backend) backend=$2 ;; esac
      shift ;;
    --peers) peers=yes ;;
    --backends) backends=yes ;;
    --scale) scale=yes ;;
    --no-build) build=no ;;
    --check) check=yes ;;
    --help|-h) usage; exit 0 ;;
    *) misused "unknown option $1" ;;
  esac
  shift
done
case $pairs in ''|*[!0-9]*|0) misused "--pairs: '$pairs' is not a number of pairs" ;; esac
case $seconds in ''|*[!0-9]*|0) misused "--seconds: '$seconds' is not a whole number of seconds" ;; esac

cd "$(dirname "$0")/../.." || exit 1
here=tests/bench
out=${PORTICO_BUILD:-build}
backend_option=${backend:+--backend $backend}
portico="$out/portico run${backend:+ --backend $backend}"
echo_command=${PORTICO_ECHO:-$portico echo}
sleeper_command=${PORTICO_SLEEPER:-$portico --vms 4 --concurrency 2 $here/sleeper.lua}

tmp=$(mktemp -d) || exit 1
. $here/lib.sh
for part in echo idle sleeper parts peers backends scale; do . $here/workloads/$part.sh; done
trap 'servers_stop; rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
ulimit -n "$(ulimit -H -n)" 2>/dev/null

if [ "$build" = yes ]; then
  [ -f "$out/CMakeCache.txt" ] || cmake --preset default -B "$out" >&2 || fail "cmake could not configure the build"
  cmake --build "$out" --target bench >&2 || fail "the build failed"
fi
[ -x "$load" ] && [ -x "$out/bench/reference" ] || fail "there is no $load or reference: run without --no-build"
[ $peers = no ] || sh third_party/install.sh --peers >&2 || echo "note: not every peer could be installed"

read -r load_1min _ </proc/loadavg
model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
echo "machine: ${model:-unknown processor}, $core_count cores, Linux $(uname -r), load average before: $load_1min"
echo "servers: reference = $out/bench/reference, portico = $echo_command"
echo "method:  $pairs pairs of $seconds s for each server after $warmup s of warm-up," \
  "servers on core $server_core, load on core ${load_core:-$server_core}"
awk "BEGIN { exit !($load_1min > 0.5) }" &&
  echo "note: load average $load_1min, other programs are running: expect noise"
[ $quick = no ] || echo "note: --quick, these figures are too noisy to quote"

echo_workloads
broadcast_workloads
idle_workload
timers_workload
packets_workload
start_workload
sleeper_workload
[ $peers = no ] || { peer_workloads; ping_workload; }
[ $backends = no ] || backend_workloads

awk -f $here/figures.awk -f $here/table.awk -v json="$tmp/summary" $here/rows "$tmp/runs"
missed=$?
[ $scale = no ] || scale_workloads
{
  printf '{"date":"%s","processor":"%s","kernel":"%s","cores":%s,"load_average":%s,\n' \
    "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$model" "$(uname -r)" "$core_count" "$load_1min"
  printf '"portico":"%s","pairs":%s,"seconds":%s,"quick":%s,\n' "$echo_command" "$pairs" "$seconds" \
    "$([ $quick = yes ] && echo true || echo false)"
  printf '"summary":[\n'; cat "$tmp/summary" 2>/dev/null; printf '],\n"runs":[\n'
  sed '$!s/$/,/' "$tmp/runs"
  printf ']}\n'
} >"$out/bench/last.json"
echo "all figures: $out/bench/last.json"
[ $check = no ] || { [ $missed -eq 0 ] && [ "$missing" = no ]; } || exit 1
