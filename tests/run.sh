#!/bin/sh
# Installs what is missing, builds, and runs every test; ends with ctest's summary.
#   sh tests/run.sh                  release build for Linux
#   sh tests/run.sh --preset NAME    another preset of CMakePresets.json: debug, asan, tsan, tiny, luacheck
#   sh tests/run.sh --coverage       an instrumented build; prints afterwards what of src was reached, per layer, and
#                                    fails if that is too little (tests/coverage.sh)
#   sh tests/run.sh --valgrind       unit and port tests under valgrind's memcheck
#   sh tests/run.sh --windows        cross-builds, and runs the tests as Windows programs under Wine
set -eu
cd "$(dirname "$0")/.."

usage() { echo "usage: sh tests/run.sh [--windows | --coverage | --valgrind | --preset NAME]" >&2; exit 2; }
preset=default
while [ $# -gt 0 ]; do
  case $1 in
    --windows) preset=windows ;;
    --coverage) preset=coverage ;;
    --valgrind) preset=valgrind ;;
    --preset) [ $# -gt 1 ] || usage; preset=$2; shift ;;
    *) usage ;;
  esac
  shift
done

case $preset in
  windows | luacheck) sh third_party/install.sh "--$preset" ;;
  *) sh third_party/install.sh ;;
esac
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
case $preset in
  windows)   # Wine's first start takes a while: not inside a test
    WINEPREFIX=$PWD/build-windows/wine sh third_party/wine.sh cmd /c exit ;;
  tsan)   # the thread sanitizer cannot live with much randomness in the memory map
    if setarch -R true 2>/dev/null; then exec setarch -R ctest --preset tsan; fi ;;
esac
if [ "$preset" = coverage ]; then
  find build-coverage -name '*.gcda' -delete # of an earlier run
  ctest --preset coverage
  sh tests/coverage.sh
  exec sh tests/coverage.sh --check
fi
if [ "$preset" = windows ]; then
  ctest --preset windows && exit
  echo 'run.sh: now and then Wine starts a program that ends at once, without a word: what failed is tried once more'
  exec ctest --preset windows --rerun-failed
fi
exec ctest --preset "$preset"
