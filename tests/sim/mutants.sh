#!/bin/sh
# mutants.sh - does tests/sim notice mistakes? Each patch of mutants/ is applied to a copy of the tree, which is built
# and run. All must be noticed, and the copy without a patch must pass.
#   sh tests/sim/mutants.sh [SEEDS [NAME...]]      SEEDS to run at most for each, 3000; NAME... only these
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD seeds=${1:-3000}
[ $# -gt 0 ] && shift

T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
trap 'exit 1' HUP INT TERM

git ls-files -z --cached --others --exclude-standard | # what was just deleted is named, too
  tar -c --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$T"
cd "$T" || exit 1
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 >log 2>&1 || { cat log >&2; exit 1; }

# result: 0 noticed nothing, 1 noticed, 2 not built
try() {
  cmake --build build -j 2 --target sim >log 2>&1 || { tail -n 20 log >&2; return 2; }
  timeout 120 build/tests/sim --seeds "$seeds" >log 2>&1 && return 0
  return 1
}

status=0 count=0
try || { cat log; echo "mutants: it fails without any of them" >&2; exit 1; }
for patch in "$top"/tests/sim/mutants/*.patch; do
  name=$(basename "$patch" .patch)
  case " $* " in "  "|*" $name "*) ;; *) continue ;; esac
  patch -p1 -s <"$patch" || { echo "$name: does not apply" >&2; status=1; continue; }
  try
  case $? in
    0) echo "$name: NOT NOTICED in $seeds seeds"; status=1 ;;
    1) echo "$name: $(sed -n 's/^\(seed [0-9]*\) failed.*/\1/p' log | head -n 1): $(head -n 1 log)" ;;
    2) echo "$name: cannot be built"; status=1 ;;
  esac
  patch -p1 -s -R <"$patch"
  count=$((count + 1))
done
echo "mutants: $count tried, $([ $status = 0 ] && echo all noticed || echo some not noticed)"
exit $status
