# record and replay: what connections did is written down whole, and a script can be fed with it again.
. "$(dirname "$0")/lib.sh"

usage_error() { # PATTERN ARGS...
  pattern=$1
  shift
  run "$PORTICO" "$@"
  says 2 "^portico: .*$pattern" "portico $*"
}

# replays CODE WHAT ARGS...: the exit code of portico replay ARGS
replays() {
  wanted=$1 what=$2
  shift 2
  run "$PORTICO" replay "$@"
  [ $code -eq "$wanted" ] && pass "$what" && return
  fail "$what: exit code $code, not $wanted"
  head -n 12 "$T/run.out"
}

has() { # WHAT PATTERN: standard output of the last run has a line that matches
  grep -q -e "$2" "$T/run.out" && pass "$1" && return
  fail "$1: no line like '$2' in:"
  head -n 20 "$T/run.out"
}

recordings() { find "$1" -name '*.portico' | wc -l; }
whole() { # FOLDER: each recording in it has its last line
  for file in "$1"/*.portico; do
    [ "$(tail -n 1 "$file")" = end ] || { echo "$file is cut off"; return 1; }
  done
}

# The command line.
: >"$T/file"
usage_error '--record: needs a value' run --record
usage_error 'cannot write there: there is such a file already' run --record "$T/file" echo
usage_error 'cannot write there: no such file' run --record "$T/none/deeper" echo
usage_error 'no script given' replay
usage_error 'no recording given' replay echo
usage_error 'no recording given' replay echo -- x.portico
usage_error 'cannot read -: no such file' replay echo -
usage_error 'did you mean --together?' replay --togehter echo x
usage_error 'unknown option --zzz (' replay echo --zzz x
usage_error 'cannot read .*none: no such file' replay echo "$T/none"
mkdir "$T/empty"
usage_error 'no \*.portico below this folder' replay echo "$T/empty"
replays 0 'replay --help' --help
has 'it prints a usage line' '^usage: portico replay'
replays 0 'replay -h' -h
has 'it prints one, too' '^usage: portico replay'
if [ "$PORTICO_OS" = linux ] && [ "$(id -u)" -ne 0 ]; then
  mkdir -m 500 "$T/locked"
  usage_error 'cannot write there: permission denied' run --record "$T/locked" echo
elif [ -d /proc/self ]; then
  usage_error 'cannot write there: ' run --record /proc/self echo
fi

# An echo server; all is written when it has ended.
serve echo "$PORTICO" run --record "$T/echo" --vms 2 echo tcp://127.0.0.1:0
run "$PORTICO" run $E2E/visitors.lua "$url"
printf 'hello\nworld' >"$T/text"
run "$PORTICO" run send "$url" --file "$T/text" --receive -
stop echo
check 'a file for each connection' [ "$(recordings "$T/echo")" -eq 6 ]
if [ "$PORTICO_OS" = linux ]; then
  check 'each is whole' whole "$T/echo"
  check 'and only for its owner' [ -z "$(find "$T/echo" -name '*.portico' ! -perm 600)" ]
fi
replays 0 'the same script does the same' echo "$T/echo" -- tcp://127.0.0.1:7000
has 'a line for each' '^ok   .*\.portico: 11 bytes received, 11 sent$'
has 'and the sum' '^# 6 recordings: 6 equal, 0 different, 0 skipped, 0 unreadable; [0-9.]* ms$'
small=$(grep -l '^hello$' $(grep -l '^world$' "$T/echo"/*.portico) | while read -r file; do
  [ "$(wc -c <"$file")" -gt 400 ] || echo "$file"
done)

# Scripts that do something else.
sed 's/conn:send(data)/conn:send((data:gsub("w", "W")))/' scripts/echo.lua >"$T/changed.lua"
replays 1 'a script with other bytes is found out' "$T/changed.lua" "$small" -- tcp://127.0.0.1:7000
has 'the file is named' "^FAIL $small: other bytes were sent$"
has 'and what was to come' '^     expected: "hello\\nworld"$'
has 'and what came' '^     received: "hello\\nWorld"$'
has 'and the first byte that differs' '^ *^ byte 7$'
sed 's/conn:send(data)/while conn:send(data) do end/; s/^  on_data/on_drain = function(conn) conn:send "more" end,&/' \
  scripts/echo.lua >"$T/changed.lua"
replays 1 'a script that never stops is left' "$T/changed.lua" "$small" -- tcp://127.0.0.1:7000
has 'what is too much is shown' ' bytes too many$'
sed 's/conn:send(data)/conn:send(data) conn:close()/' scripts/echo.lua >"$T/changed.lua"
replays 1 'a script that closes too early is found out' "$T/changed.lua" "$small" -- tcp://127.0.0.1:7000
has 'and when' ': the handler ended the stream too early: by then the peer had not finished$'
sed 's/conn:send(data)/error "no more"/' scripts/echo.lua >"$T/changed.lua"
replays 1 'so is one that fails' "$T/changed.lua" "$small" -- tcp://127.0.0.1:7000
has 'its log is shown' '^     log of the handler: error: .*no more'
sed 's/^local listener, .*/&})\nportico.listen("tcp:\/\/127.0.0.1:7001", {/' scripts/echo.lua >"$T/changed.lua"
replays 1 'with two listeners it has to be one of them' "$T/changed.lua" "$small" -- tcp://127.0.0.1:7000
has 'else both are named' 'the script listens on tcp://127.0.0.1:7000 and tcp://127.0.0.1:7001, but not on '
echo 'nonsense(' >"$T/changed.lua"
replays 1 'a script that cannot run' "$T/changed.lua" "$small"
says 1 '^portico: replay: cannot load ' 'it'
mkdir "$T/here"
echo 'error "mine"' >"$T/here/echo"
run sh -c 'cd "$1" && shift && exec "$@"' - "$T/here" "$PORTICO" replay echo "$small"
check 'a file comes before the default script of its name' grep -q 'cannot load echo: .*mine' "$T/run.err"

# Files that are none.
mkdir "$T/cut"
size=$(wc -c <"$small")
for bytes in $(seq 0 $((size - 1))); do head -c "$bytes" "$small" >"$T/cut/$(printf %04d "$bytes").portico"; done
replays 2 "a recording that is cut off, after each of its $size bytes" echo "$T/cut" -- tcp://127.0.0.1:7000
check 'a line for each' [ "$(grep -c '^portico: replay: .*\.portico: byte [0-9]*: ' "$T/run.err")" -eq "$size" ]
check 'and no other' [ "$(wc -l <"$T/run.err")" -eq "$size" ]
has 'none was replayed' "^# $size recordings: 0 equal, 0 different, 0 skipped, $size unreadable"

run "$PORTICO" test $E2E/replay
check 'the parser refuses what is no recording' [ $code -eq 0 ]
[ $code -eq 0 ] || cat "$T/run.out"

# A server whose connections end in all ways.
serve ping "$PORTICO" run --record "$T/ping" tests/bench/ping.lua tcp://127.0.0.1:0
run "$PORTICO" run $E2E/ping_cuts.lua "$url"
for request in 'ping\nquit\nping\n' '*x\r\nping\n' '*1\r\n$-1\r\n' '*2\r\n$4\r\nECHO\r\n'; do
  printf -- "$request" >"$T/request"
  run "$PORTICO" run send "$url" --file "$T/request" --receive "$T/back"
done
for i in $(seq 20000); do printf '*1\r\n$4\r\nPING\r\n'; done >"$T/request"
run "$PORTICO" run send "$url" --file "$T/request" --receive "$T/back"
stop ping
count=$(recordings "$T/ping")
check "requests cut at every byte: $count recordings" [ "$count" -gt 200 ]
if [ "$PORTICO_OS" = windows ]; then # each takes Wine a fifth of a second
  rm $(ls "$T/ping"/*.portico | tail -n +21)
  count=$(recordings "$T/ping")
fi
replays 0 'they are answered as before' tests/bench/ping.lua "$T/ping" -- tcp://127.0.0.1:7000
has 'all of them' "^# $count recordings: $count equal, "

# Connections that talk to each other.
serve chat "$PORTICO" run --record "$T/chat" --vms 1 $E2E/chat.lua tcp://127.0.0.1:0
run "$PORTICO" run --vms 1 --record "$T/chatters" $E2E/chatters.lua "$url"
stop chat
replays 0 'a chat, together' --together $E2E/chat.lua "$T/chat" -- tcp://127.0.0.1:7000
has 'both are as they were' '^# 2 recordings: 2 equal'
replays 1 'alone nobody answers' $E2E/chat.lua "$T/chat" -- tcp://127.0.0.1:7000
has 'so something is missing' ': bytes are missing$'
replays 2 'connections that the script made' $E2E/chat.lua "$T/chatters" -- tcp://127.0.0.1:7000
has 'are passed over' '^skip .*: the script made this connection'

# What there is no room for is counted, and the rest of the connection is as it was.
cat >"$T/large.lua" <<'LUA'
local listener = assert(require("portico").listen(..., {
  send_limit = 32 << 20,
  on_data = function(conn, data) conn:send("before", ("x"):rep(17 << 20), "after") end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
LUA
if usual tiny 'a piece of 17 MiB: it would leave 61 bytes at a time'; then
  serve large "$PORTICO" run --record "$T/large" --vms 1 --budget 60000 "$T/large.lua" tcp://127.0.0.1:0
  run "$PORTICO" run send "$url" --message go --receive "$T/back"
  check 'a piece that is too large to be recorded arrives' [ "$(wc -c <"$T/back")" -eq $((17 * 1048576 + 11)) ]
  stop large
  if [ "$PORTICO_OS" = linux ]; then
    check 'the recording says how much it lost' grep -q '^[0-9]* lost 17825797$' "$T/large"/*.portico
    check 'and the log why' grep -q 'recording .*: more than 16 MiB wait for the disk: ' "$T/large.err"
  fi
  replays 0 'it is compared up to there' "$T/large.lua" "$T/large" -- tcp://127.0.0.1:7000
fi

# A program that ends at once, and one whose handler fails.
cat >"$T/ends.lua" <<'LUA'
local portico = require "portico"
local listener = assert(portico.listen(..., {
  on_data = function(conn, data)
    if data == "error" then error "as asked for" end
    conn:send(data)
    if data == "abort" then conn:abort() end
    if data == "stop" then portico.stop(0) end
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
LUA
serve ends "$PORTICO" run --record "$T/ends" --vms 1 "$T/ends.lua" tcp://127.0.0.1:0
for word in error abort; do run "$PORTICO" run send "$url" --message $word --receive -; done
echo 'require("portico").connect(..., { on_open = function(conn) conn:send "stop" end })' >"$T/stops.lua"
run "$PORTICO" run --vms 1 "$T/stops.lua" "$url"
ended ends
check 'a program that stops at once has written all' whole "$T/ends"
replays 0 'an error, an abort and a stop are replayed' "$T/ends.lua" "$T/ends" -- tcp://127.0.0.1:7000
has 'all three' '^# 3 recordings: 3 equal'
[ "$PORTICO_OS" = linux ] || exit 0

# A disk that is full: the connection does not notice.
trap '' XFSZ
serve full sh -c 'ulimit -f 64; exec "$@"' - "$PORTICO" run --record "$T/full" echo tcp://127.0.0.1:0
random_file "$T/big" 1
run "$PORTICO" run send "$url" --file "$T/big" --receive "$T/back"
check 'a file that may not grow harms no connection' same "$T/big" "$T/back"
stop full
check 'one warning names the file and the reason' \
  [ "$(grep -c "warn .*recording $T/full/.*\.portico: limit exceeded: " "$T/full.err")" -eq 1 ]
replays 2 'what there is of it is no recording' echo "$T/full" -- tcp://127.0.0.1:7000
says 2 'it is cut off$' 'that'

# Many at a time leave nothing open.
open_files() { find "/proc/$pid_many/fd" -type l ! -lname '/proc/*' | wc -l; } # but those by which workers are watched
ulimit -n 4096 2>/dev/null || { echo "skipped: 1000 clients need 2000 files (ulimit -n is $(ulimit -n))"; exit 0; }
serve many "$PORTICO" run --record "$T/many" echo tcp://127.0.0.1:0
cat >"$T/all.lua" <<'LUA'
local portico = require "portico"
local served, all = 0, {}
for i = 1, 1000 do
  all[i] = assert(portico.connect(..., {
    on_open = function(conn) conn:send "hello" end,
    on_data = function()
      served = served + 1
      if served < 1000 then return end
      print "all are served"
      for _, conn in ipairs(all) do conn:close() end
    end,
  }))
end
LUA
before=$(open_files)
run "$PORTICO" run --vms 1 "$T/all.lua" "$url"
check '1000 clients at a time' [ "$(cat "$T/run.out")" = 'all are served' ]
tries=0
while [ "$(open_files)" -gt "$before" ] && [ $tries -lt 200 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
check "no file is left open ($before before, $(open_files) after)" [ "$(open_files)" -le "$before" ]
check 'each has its recording, and it is whole' whole "$T/many"
stop many
check 'nothing went wrong' [ "$(grep -c warn "$T/many.err")" -eq 0 ]
replays 0 'all are replayed' echo "$T/many" -- tcp://127.0.0.1:7000
has 'each as it was' '^# 1000 recordings: 1000 equal'
