# The program is one file: copied to an empty folder it has its scripts and modules with it.
. "$(dirname "$0")/lib.sh"
program=$PORTICO
[ "$PORTICO_OS" = linux ] || program=$(dirname "$PORTICO")/portico.exe

mkdir "$T/empty"
cp "$program" "$T/empty/" || exit 1
copy=$T/empty/$(basename "$program")
if [ "$PORTICO_OS" = windows ]; then # as tests/CMakeLists.txt starts the original, with the same Wine prefix
  sed "s|\"[^\"]*portico\.exe\"|\"$copy\"|" "$PORTICO" >"$T/portico-wine"
  chmod +x "$T/portico-wine"
  WINEPREFIX=${WINEPREFIX:-$(dirname "$PORTICO")/wine}
  export WINEPREFIX
  copy=$T/portico-wine
fi

cd "$T/empty" || exit 1
serve echo env -u LUA_PATH -u LUA_CPATH -u LUA_INIT "$copy" run echo tcp://127.0.0.1:0
run "$copy" run send "$url" --receive -
check 'run echo and run send' grep -q '^this is a long test string' "$T/run.out"
check 'beside it there is nothing' [ "$(ls | wc -l)" -eq 1 ]
stop echo
if [ "$PORTICO_OS" = linux ] && command -v ldd >/dev/null; then
  ldd "$program" | sed 's/ (0x.*//' >"$T/libraries"
  others=$(grep -v -e 'linux-vdso' -e 'ld-linux' -e 'libc\.so' -e 'libm\.so' -e 'libdl' -e 'libpthread' -e 'liburing' \
    -e 'lib[a-z]*san\.so' -e 'libgcc_s' -e 'libstdc++' "$T/libraries")
  check "it needs only the C library: $others" [ -z "$others" ]
fi
echo 'print "a file of that name"' >echo
run "$PORTICO" run echo
check 'a file goes before a default script of its name' [ "$(cat "$T/run.out")" = 'a file of that name' ]
cd - >/dev/null || exit 1
