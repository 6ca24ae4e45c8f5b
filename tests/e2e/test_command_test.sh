# portico test: finds and runs tests in a simulated network, and says clearly what is wrong.
. "$(dirname "$0")/lib.sh"

has() { # WHAT PATTERN: standard output of the last run has a line that matches
  grep -q -e "$2" "$T/run.out" && pass "$1" && return
  fail "$1: no line like '$2' in:"
  head -n 30 "$T/run.out"
}
exits() { # CODE WHAT
  check "$2 exits with $1 (it was $code)" [ $code -eq "$1" ]
}

# The command line.
usage_error() { # PATTERN ARGS...
  pattern=$1
  shift
  run "$PORTICO" test "$@"
  says 2 "^portico: test: .*$pattern" "test $*"
}
usage_error 'no path given'
usage_error 'did you mean --filter?' --fitler x scripts
usage_error 'unknown option -x (portico test --help' -x scripts
usage_error 'unknown option - (portico test --help' -=x scripts
usage_error 'needs a value' scripts --filter
usage_error 'no such format (tap or junit)' --output xml scripts
usage_error 'not a whole number' --seed one scripts
usage_error 'not a whole number' --seed 12x scripts
usage_error 'not a whole number' --seed 1234567890 scripts
usage_error 'cannot read -: no such file' -
usage_error 'cannot read --list: no such file' -- --list
usage_error 'takes no value' --list=yes scripts
usage_error "cannot read $T/none: no such file" "$T/none"
mkdir "$T/empty" "$T/empty/.hidden" && echo 'error "not me"' >"$T/empty/.hidden/x_test.lua"
usage_error 'no \*_test.lua below' "$T/empty"
usage_error 'no test has such a name' --filter 'no such test' tests/e2e/test_command
usage_error 'not a Lua pattern' --filter '%' tests/e2e/test_command
echo 'local x = 1' >"$T/nothing_test.lua"
usage_error 'no tests in these files' "$T/nothing_test.lua"
run "$PORTICO" test --help
exits 0 'test --help'
has 'test --help prints a usage line' '^usage: portico test'
run "$PORTICO" test -h
has 'test -h, too' '^usage: portico test'
for word in --output --output-file --filter --seed --list; do has "test --help names $word" "^  $word"; done

# Tests that pass.
run "$PORTICO" test tests/e2e/test_command tests/e2e/test_command/upper_test.lua
exits 0 'a folder whose tests pass'
has 'TAP has a plan' '^1\.\.13$'
has 'a test has its time' '^ok 1 - a net gives the handler pieces at every boundary # [0-9.]* ms$'
has 'a pending test is skipped' '^ok 13 - a test that nobody has written # SKIP'
has 'the sum is there, a file given twice counts once' '^# 13 tests: 12 passed, 0 failed, 1 pending; [0-9.]* ms$'
check 'no test failed' [ "$(grep -c '^not ok' "$T/run.out")" -eq 0 ]
run "$PORTICO" test --list tests/e2e/test_command
exits 0 '--list'
has '--list names file, line and test' \
  '^tests/e2e/test_command/upper_test.lua:[0-9]*: a net is the same for the same seed$'
run "$PORTICO" test --output tap --filter='^assert ' tests/e2e/test_command
has '--filter runs only what matches' '^# 2 tests: 2 passed'

# Tests that fail.
mkdir "$T/bad" "$T/bad/deeper"
cat >"$T/bad/deeper/fails_test.lua" <<'LUA'
local sim = require "portico.sim"
local ECHO = [[
require("portico").listen("tcp://127.0.0.1:7000", { on_data = function(conn, data)
  if data == "boom" then error "as you wish" end
  conn:send(data)
end })]]
describe("bad <&> tests", function()
  it("text", function()
    local client = sim.load_text(ECHO):connect()
    client:send("this is a test\r\n")
    client:expect("this is A test\r\n")
  end)
  it("binary", function()
    local client = sim.load_text(ECHO):connect()
    client:send("\0\1\2\3\4")
    client:expect("\0\1\2\9\4")
  end)
  it("short", function()
    local client = sim.load_text(ECHO):connect()
    client:send("abc")
    client:expect("abcdef", 7)
  end)
  it("handler", function()
    local client = sim.load_text(ECHO):connect()
    client:send("boom")
    client:expect("boom")
  end)
  it("split", function()
    sim.load_text(ECHO):every_split(function(client, net)
      client:send("boo")
      client:expect("bo")
      client:send("m")
      net:settle()
      assert.equal(0, #net:logs "error")
      client:expect("om")
      if client.cut == 3 then error "cut at 3" end
    end)
  end)
  it("seed", function() sim.seeds(9, function(seed) assert.is_true(seed < 4) end) end)
  it("table", function() assert.same({ name = "a", list = { 1, 2 } }, { name = "a", list = { 1, 3 }, more = true }) end)
  it("plain error", function()
    local nothing
    local function deep() return nothing.field, 1 end
    local _ = deep()
  end)
  it("passes all the same", function() end)
end)
LUA
echo 'describe("x", function() syntax error' >"$T/bad/syntax_test.lua"
echo 'setup(function() error "no way" end) it("y", function() end)' >"$T/bad/setup_test.lua"
run "$PORTICO" test "$T/bad"
exits 1 'a folder with tests that fail'
has 'a difference of text is shown' '^#   expected: "this is A test\\r\\n"$'
has 'and what came instead' '^#   received: "this is a test\\r\\n"$'
has 'with a marker below it' '^#                      *^ byte 9$'
has 'binary data is shown in hex' '^#   received: 00 01 02 03 04'
has 'a wait that lasts too long says how long' 'expect: not all bytes came: 7 s have passed$'
has 'and how much there was' '\^ ends after 3 of 6 bytes$'
has 'the log of the handler is shown' '^#   log of the handler: error: .*as you wish'
has 'the boundary is named' 'every_split: cut after byte 3 of 4, "boo" | "m": '
has 'the seed is named, and how to run only that' 'with seed 4 (only this one: portico test --seed 4 --filter '
has 'a difference of tables is shown where it is' '^#   at \.list\[2\]$'
has 'file and line of a failure' "^#   $T/bad/deeper/fails_test.lua:43: attempt to index a nil value"
has 'and the way there' "^#   from $T/bad/deeper/fails_test.lua:43: in "
has 'a syntax error fails' "^#   $T/bad/syntax_test.lua:1: .*near 'error'"
has 'a setup that fails, fails its tests' '^not ok [0-9]* - y #'
has 'the others are run' '^ok [0-9]* - bad <&> tests passes all the same # '
has 'the failed ones are named at the end' "^# failed: $T/bad/deeper/fails_test.lua:8: bad <&> tests text$"
has 'and counted' '^# 11 tests: 1 passed, 10 failed, 0 pending'
run "$PORTICO" test "$T/bad/deeper" --seed 5 --filter 'seed$'
has 'options may follow the paths; --seed runs only that one' 'with seed 5 (only'

# JUnit.
well_formed() { # FILE
  if command -v xmllint >/dev/null; then xmllint --noout "$1"; else
    python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$1"
  fi
}
run "$PORTICO" test --output junit "$T/bad"
exits 1 'a report as JUnit'
if command -v xmllint >/dev/null || command -v python3 >/dev/null; then
  check 'it is well-formed XML' well_formed "$T/run.out"
fi
has 'with its sums' '^<testsuites tests="11" failures="10" errors="0" skipped="0" time="[0-9.]*">$'
has 'names are escaped' ' name="bad &lt;&amp;&gt; tests text" '
has 'a failure says why' '<failure message="[^"]*:11: expect: other bytes came">'
run "$PORTICO" test --output junit --output-file "$T/report.xml" tests/e2e/test_command
exits 0 'a report in a file'
has 'the screen gets TAP then' '^# 13 tests: 12 passed'
check 'the file gets XML' grep -q '<skipped/>' "$T/report.xml"
usage_error 'cannot write the report' --output-file "$T/none/report.xml" tests/e2e/test_command

# The examples of the texts: each block of Lua goes into the file that its first line names.
example() { # FOLDER FILE...
  folder=$1
  shift
  mkdir "$folder"
  awk -v folder="$folder" '
    /^```$/ { file = "" }
    file != "" { print >file }
    first && match($0, /^-- [a-z_]*\.lua/) { file = folder "/" substr($0, 4, RLENGTH - 3); print >file }
    { first = /^```lua$/ }' "$@"
  run "$PORTICO" test "$folder"
}
example "$T/shout" README.md
exits 0 'the example of README.md'
has 'it passes' '^# 1 tests: 1 passed'
example "$T/lines" lua/README.md
exits 0 'the example of lua/README.md'
has 'it passes' '^# 3 tests: 3 passed'
sed -i 's/conn.rest .. data/data/' "$T/lines/lines.lua"
run "$PORTICO" test "$T/lines"
exits 1 'with a mistake in it, it'
has 'fails as the text says' \
  'lines_test.lua:8: every_split: cut after byte 1 of 14, "h" | "ello\\nPortico\\n": expect: other'
has 'and shows the difference' '^#   received: "4\\n7\\n"$'

# The default scripts.
run "$PORTICO" test scripts
exits 0 'test scripts'
has 'they pass' '^# [0-9]* tests: [0-9]* passed, 0 failed, 0 pending'
[ $code -eq 0 ] || cat "$T/run.out"
