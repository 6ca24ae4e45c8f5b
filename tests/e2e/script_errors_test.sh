# Scripts that cannot run: one clear line with file and line number, exit code 1.
. "$(dirname "$0")/lib.sh"

run "$PORTICO" run "$T/missing.lua"
says 1 'missing.lua: no such file' 'a script that is not there'
run "$PORTICO" run ehco
says 1 'ehco: no such file (did you mean echo?)' 'a mistyped default script'
run "$PORTICO" run "$T"
says 1 '^portico: .*tmp' 'a folder'
run "$PORTICO" check "$T/missing.lua"
says 1 'missing.lua: no such file' 'check: a script that is not there'

printf 'local a = 1\nlocal b = = 2\n' >"$T/syntax.lua"
run "$PORTICO" run "$T/syntax.lua"
says 1 'syntax.lua:2: unexpected symbol' 'a syntax error'
run "$PORTICO" check "$T/syntax.lua"
says 1 'syntax.lua:2: unexpected symbol' 'check: a syntax error'

printf 'local function f()\n  error("no luck")\nend\nf()\n' >"$T/raises.lua"
run "$PORTICO" run "$T/raises.lua"
check 'an error at load: exit code 1' [ $code -eq 1 ]
check 'its first line names file, line and reason' grep -q '^portico: .*raises.lua:2: no luck' "$T/run.err"
check 'a traceback follows' grep -q 'raises.lua:4: in main chunk' "$T/run.err"
run "$PORTICO" check "$T/raises.lua"
check 'check compiles only' [ $code -eq 0 ]
printf 'error({})\n' >"$T/odd.lua"
run "$PORTICO" run "$T/odd.lua"
check 'an error that is no text: exit code 1 and some words' [ $code -eq 1 -a -s "$T/run.err" ]
printf 'require "no.such.module"\n' >"$T/module.lua"
run "$PORTICO" run "$T/module.lua"
check 'a module that is not there is named' grep -q "module.lua:1: module 'no.such.module' not found" "$T/run.err"

cat >"$T/dump.lua" <<'LUA'
local path = ...
local file = assert(io.open(path, "wb"))
file:write(string.dump(function() return 1 end))
file:close()
print(load(string.dump(function() return 1 end)))
print(loadfile(path))
LUA
run "$PORTICO" run "$T/dump.lua" "$T/bytecode.lua"
check 'bytecode is refused by load and loadfile' [ "$(grep -c '^nil' "$T/run.out")" -eq 2 ]
[ -s "$T/bytecode.lua" ] || printf '\033LuaT' >"$T/bytecode.lua"
run "$PORTICO" run "$T/bytecode.lua"
says 1 'bytecode.lua' 'bytecode as a script'

printf '#!/usr/bin/env -S portico run\nprint(arg[0]:match("[^/]*$"))\n' >"$T/shebang.lua"
run "$PORTICO" run "$T/shebang.lua"
check 'a first line for the shell is skipped' [ "$(cat "$T/run.out")" = shebang.lua ]

for name in echo print send; do
  run "$PORTICO" check $name
  check "check $name (in the program)" [ $code -eq 0 ]
  run "$PORTICO" check scripts/$name.lua
  check "check scripts/$name.lua" [ $code -eq 0 ]
done

mkdir "$T/here" && cd "$T/here" || exit 1
echo 'print("mine")' >echo
run "$PORTICO" run echo
check 'a file wins over a default script' [ "$(cat "$T/run.out")" = mine ]
rm echo && mkdir echo
run "$PORTICO" run echo --help
check 'a folder does not' grep -q '^usage: portico run echo' "$T/run.out"
cd - >/dev/null || exit 1
