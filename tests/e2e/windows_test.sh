# A Linux client with a Windows server (under Wine), and the reverse; print shows the same bytes on both.
. "$(dirname "$0")/lib.sh"
linux=$PWD/build/portico
windows=$PWD/build-windows/portico-wine
[ "$PORTICO_OS" = windows ] || linux=$PORTICO
[ "$PORTICO_OS" = linux ] || windows=$PORTICO
[ -x "$linux" ] || skip "there is no Linux program in build/ (sh tests/run.sh)"
[ -x "$windows" ] && [ -e "$(dirname "$windows")/portico.exe" ] ||
  skip "there is no Windows program in build-windows/ (sh tests/run.sh --windows)"
command -v wine >/dev/null || skip 'Wine is not installed (sh third_party/install.sh --windows)'

random_file "$T/random" 8
exchange() { # NAME SERVER CLIENT
  serve echo "$2" run echo tcp://127.0.0.1:0
  run "$3" run send "$url" --file "$T/random" --receive "$T/back"
  check "$1: 8 MiB through echo" same "$T/random" "$T/back"
  check "$1: send ends with 0" [ $code -eq 0 ]
  rm -f "$T/back"
  stop echo
  serve print "$2" run print tcp://127.0.0.1:0
  run "$3" run send "$url"
  await print.out '^closed: '
  sed 's/^\(connected\|closed\): tcp:\/\/127\.0\.0\.1:[0-9]*/\1: PEER/' "$T/print.out" >"$T/shown.$1"
  check "$1: print" grep -q '^bytes=31, total=31' "$T/shown.$1"
  stop print
}
exchange linux-windows "$linux" "$windows"
exchange windows-linux "$windows" "$linux"
check 'print shows the same on both, byte for byte' same "$T/shown.linux-windows" "$T/shown.windows-linux"
