# The command line: what it prints, what it refuses, and with which exit code.
. "$(dirname "$0")/lib.sh"

usage_error() { # PATTERN ARGS...
  pattern=$1
  shift
  run "$PORTICO" "$@"
  says 2 "^portico: .*$pattern" "portico $*"
}

usage_error 'portico --help'
usage_error 'did you mean run?' rum
usage_error 'did you mean --version?' --versoin
usage_error 'portico run ./server.lua' ./server.lua
usage_error 'portico --help' a-command-with-a-name-that-is-far-too-long-for-any
usage_error 'no script given' run
usage_error 'no script given' run --workers 2
usage_error 'did you mean --workers?' run --worker 2 echo
usage_error 'did you mean --log-format?' run --log-fromat=json echo
usage_error 'unknown option --zzz (' run --zzz echo
usage_error 'unknown option -w (' run -w 2 echo
usage_error 'needs a value' run --vms
for number in 0 -1 4x 1.5 '' ' 1' 0x10 1025 99999999999999999999; do
  usage_error 'not a whole number from 1 to 1024' run --workers "$number" echo
done
usage_error 'not a whole number' run --memory=lots echo
usage_error 'not a whole number' run --budget=0 echo
for seconds in -1 abc 1e3 nan 1.2.3 86401 ''; do
  usage_error 'not a number from 0 to' run --grace "$seconds" echo
done
usage_error 'no such level (.*debug' run --log-level loud echo
usage_error 'no such format (.*json' run --log-format=xml echo
usage_error 'no such completion port' run --backend kqueue echo
usage_error 'no such completion port' run --backend sim echo --help # it is for simulated networks
usage_error 'portico check SCRIPT' check
usage_error 'portico check SCRIPT' check a b
usage_error 'unknown option --strict' check --strict a
usage_error 'unknown command two?lines?\[31m? (' "$(printf 'two\nlines\033[31m\177')"
check 'a mistake is told in one line' [ "$(wc -l <"$T/run.err")" -eq 1 ]

run "$PORTICO" --version
check '--version prints it and nothing else' grep -qx 'portico [0-9]*\.[0-9]*\.[0-9]*' "$T/run.out"
for words in --help -h 'run --help' 'run -h' 'run --vms 2 --help' 'check --help' 'check -h'; do
  run "$PORTICO" $words
  check "$words exits with 0" [ $code -eq 0 ]
  check "$words prints a usage line" grep -q '^usage: portico' "$T/run.out"
done
run "$PORTICO" run --help
for word in echo print send --workers --concurrency --vms --backend --grace --log-level --log-format --memory \
  --budget; do
  check "run --help names $word" grep -q -e "$word" "$T/run.out"
done

cat >"$T/args.lua" <<'LUA'
assert(arg[1] == ... and select("#", ...) == #arg)
io.write(table.concat(arg, "|"), "\n")
LUA
run "$PORTICO" run --workers=2 --concurrency 1 --vms=2 --memory 64 --budget=500 --grace 1.5 --log-level warn \
  --log-format=text --backend auto "$T/args.lua" --vms 'a b' -- -
check 'options in both spellings; what follows the script is its own' [ "$(cat "$T/run.out")" = '--vms|a b|--|-' ]
check 'a script with nothing to wait for ends with 0' [ $code -eq 0 ]
run "$PORTICO" run -- "$T/args.lua" x
check '-- ends the options' [ "$(cat "$T/run.out")" = x ]

for command in run check; do
  run "$PORTICO" $command -
  says 1 'cannot read script' "$command: a script that is called -"
done

if [ "$PORTICO_OS" = linux ]; then
  : >"$T/nothing_test.lua"
  for words in 'check echo' "run --record $T echo" "test $T/nothing_test.lua"; do
    run sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n 4; exec "$@"' - "$PORTICO" $words
    says 1 'cannot start: .*ulimit -n' "$words with too few descriptors"
  done
fi

echo 'require("portico").stop(3)' >"$T/stop.lua"
run "$PORTICO" run "$T/stop.lua"
check 'portico.stop(3) is the exit code' [ $code -eq 3 ]

cat >"$T/log.lua" <<'LUA'
local portico = require "portico"
portico.log("debug", "not shown")
portico.log("warn", 'a "quote", a \\ and \27[31m', 7, "\nnext \xff ü")
LUA
run "$PORTICO" run "$T/log.lua"
check 'a log line has time and level, and no control bytes' \
  grep -q '^[0-9:]*\.[0-9]*Z warn .*a "quote", a \\ and \\x1b\[31m' "$T/run.err"
check 'its second line is indented' grep -q '^  next \\xff ü$' "$T/run.err"
check 'debug is not shown unless asked for' [ "$(grep -c 'not shown' "$T/run.err")" -eq 0 ]
run "$PORTICO" run --log-level debug "$T/log.lua"
check '--log-level debug shows it' grep -q 'debug .*not shown' "$T/run.err"
run "$PORTICO" run --log-level off "$T/log.lua"
check '--log-level off shows nothing' [ ! -s "$T/run.err" ]
run "$PORTICO" run --log-format json "$T/log.lua"
json_record='{"time":"20[0-9-]*T[0-9:.]*Z","level":"warn","vm":1,'
json_record=$json_record'"message":"a \\"quote\\", a \\\\ and \\u001b\[31m.*7.*\\nnext \\ufffd ü"}'
check 'json is one object a line, well escaped' \
  grep -qx -e "$json_record" \
  "$T/run.err"
check 'it is one line' [ "$(wc -l <"$T/run.err")" -eq 1 ]
cat >"$T/utf8.lua" <<'LUA'
local good = "\xc2\xa9\xe0\xa0\x80\xf0\x90\x80\x80\xed\x9f\xbf\xf4\x8f\xbf\xbf" -- beside gaps of Unicode
require("portico").log("info", good)
local bad = "\x7f|\xc1\xbf|\xc2\x9b|\xe0\x9f\xbf|\xf0\x8f\xbf\xbf|\xed\xa0\x80|\xf4\x90\x80\x80|\xf5|\xe2\x82"
require("portico").log("info", bad)
LUA
run "$PORTICO" run "$T/utf8.lua"
check 'characters of three and four bytes are printed' \
  grep -q "$(printf ': \302\251\340\240\200\360\220\200\200\355\237\277\364\217\277\277')" "$T/run.err"
check 'what is none, or not printable, is escaped' \
  grep -qF -e '\x7f|\xc1\xbf|\xc2\x9b|\xe0\x9f\xbf|\xf0\x8f\xbf\xbf|\xed\xa0\x80|\xf4\x90\x80\x80|\xf5|\xe2\x82' \
  "$T/run.err"

run "$PORTICO" run --log-format json "$T/no-such.lua"
check 'errors are objects too' \
  grep -q '^{"time":.*"level":"error","message":"cannot read script .*no-such.lua' "$T/run.err"

if [ -e /dev/full ] && [ "$PORTICO_OS" = linux ]; then
  "$PORTICO" --help >/dev/full 2>"$T/run.err"
  code=$?
  says 1 'cannot write: standard output' 'a full disk'
fi
