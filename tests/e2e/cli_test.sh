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
for words in --help 'run --help' 'run -h' 'run --vms 2 --help' 'check --help'; do
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

run "$PORTICO" run -
says 1 'cannot read script' 'a script that is called -'

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
run "$PORTICO" run --log-format json "$T/no-such.lua"
check 'errors are objects too' \
  grep -q '^{"time":.*"level":"error","message":"cannot read script .*no-such.lua' "$T/run.err"

if [ -e /dev/full ] && [ "$PORTICO_OS" = linux ]; then
  "$PORTICO" --help >/dev/full 2>"$T/run.err"
  code=$?
  says 1 'cannot write: standard output' 'a full disk'
fi
