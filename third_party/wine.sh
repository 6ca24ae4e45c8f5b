#!/bin/sh
# Runs a Windows program under Wine:  wine.sh PROGRAM.exe [ARGS...]
# Wine's own files go to a folder "wine" in the build folder the program is in (or to $WINEPREFIX when that is set).
export WINEDEBUG="${WINEDEBUG:--all}" WINEDLLOVERRIDES="${WINEDLLOVERRIDES:-mscoree,mshtml,winemenubuilder.exe=}"
if [ -z "$WINEPREFIX" ]; then
  build=$(cd "$(dirname "$1")" && pwd) || exit 1
  while [ "$build" != / ] && [ ! -e "$build/build.ninja" ]; do build=$(dirname "$build"); done
  if [ "$build" = / ]; then build=$(cd "$(dirname "$1")" && pwd); fi
  export WINEPREFIX="$build/wine"
fi
mkdir -p "$WINEPREFIX"
# Wine's server and services outlive the program that starts them and keep its stderr, whose end ctest waits for.
# So they are started here, with none of ours (nor the lock, which is for tests that start side by side).
# "wineserver" fails when one is running already, which is the usual case; it leaves when idle for 30 s.
(
  flock 9
  if wineserver -p30 9>&-; then wine cmd /c exit 9>&-; fi
  flock -u 9   # said aloud: as the last command above, wine would take the place of the shell that holds the lock
) 9>"$WINEPREFIX/lock" </dev/null >/dev/null 2>&1
exec wine "$@"
