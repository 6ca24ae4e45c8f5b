#!/bin/sh
# Shows what Portico does, on real data:  sh scripts/demo.sh
# Installs what is missing, builds, starts the print server and sends it the article's string and a 64 MiB file with the
# send client; then sends the file through the echo server and compares digests. Needs nothing but this folder.
set -eu
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

say 'set-up and build'
sh third_party/install.sh
cmake --preset default >/dev/null
cmake --build --preset default
portico=$PWD/build/portico

T=$(mktemp -d)
server=
finish() {
  code=$?
  trap - EXIT
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$T"
  [ $code -eq 0 ] || echo "demo.sh: something above went wrong" >&2
  exit $code
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# serve SCRIPT: starts a default server on a free port; leaves its process in $server, its address in $url. It waits
# for the line that says where the server listens: grep reads it from a pipe, and tail ends with the server.
serve() {
  : >"$T/$1.err"
  "$portico" run "$1" tcp://127.0.0.1:0 >"$T/$1.out" 2>"$T/$1.err" &
  server=$!
  wait_for "$1.err" '^listening on '
  url=$(sed -n 's/^listening on //p' "$T/$1.err")
  echo "portico run $1: listening on $url"
}

# wait_for FILE PATTERN: until the server has written such a line; at most 20 seconds.
wait_for() {
  rm -f "$T/lines"
  mkfifo "$T/lines"
  timeout 20 tail -n +1 -s 0.1 -f --pid="$server" "$T/$1" >"$T/lines" &
  tail=$!
  grep -m 1 -q "$2" <"$T/lines" || { cat "$T/$1" >&2; exit 1; }
  kill "$tail" 2>/dev/null || true
  wait "$tail" 2>/dev/null || true
}

# stop_server: asks it to end, as Ctrl-C would, and checks that it ends well.
stop_server() {
  kill "$server"
  wait "$server"
  server=
}

say "print: the article's string"
serve print
"$portico" run send "$url"
wait_for print.out '^closed: '
cat "$T/print.out"

say 'print: a file of 64 MiB'
seq 1 9000000 | head -c 67108864 >"$T/file" # text, and no two places in it are alike
"$portico" run send "$url" --file "$T/file"
wait_for print.out '^closed: .*total=67108864'
sed 1,8d "$T/print.out" | head -n 8
echo '...'
tail -n 2 "$T/print.out"
stop_server

say 'echo: the same file there and back'
serve echo
"$portico" run send "$url" --file "$T/file" --receive "$T/back"
stop_server
sent=$(sha256sum <"$T/file")
back=$(sha256sum <"$T/back")
echo "sent      ${sent%% *}"
echo "came back ${back%% *}"
[ "$sent" = "$back" ]

say 'all is well'
