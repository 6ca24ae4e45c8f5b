#!/bin/sh
# same.sh - does a seed make the same run in this build as in the release build for Linux?
#   sh tests/sim/same.sh SEEDS COMMAND...     COMMAND... runs sim of this build
# Skipped (77) where there is no such build.
set -u
cd "$(dirname "$0")/../.." || exit 1
[ $# -gt 1 ] || { echo "usage: sh tests/sim/same.sh SEEDS COMMAND..." >&2; exit 2; }
seeds=$1
shift
if [ ! -e build/build.ninja ]; then
  echo "skipped: nothing to compare with: no release build for Linux (cmake --preset default)"
  exit 77
fi
cmake --build build --target sim >/dev/null || { echo "cannot build sim in build/" >&2; exit 1; }
there=$(build/tests/sim --seeds "$seeds") || exit 1
here=$("$@" --seeds "$seeds" | tr -d '\r') || exit 1
echo "Linux, release: $there"
echo "here:           $here"
[ "$here" = "$there" ]
