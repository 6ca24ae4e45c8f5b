# The Lua API, from the inside: tests/e2e/api.lua has the cases.
. "$(dirname "$0")/lib.sh"

run "$PORTICO" run --vms 1 $E2E/api.lua one two
cat "$T/run.out"
check 'every case held' [ $code -eq 0 ]
check 'and none was left out' [ "$(tail -n 1 "$T/run.out")" = 'all cases done' ]

cat >"$T/vms.lua" <<'LUA'
local portico = require "portico"
assert(portico.vm.count == 3)
local listener = assert(portico.listen("tcp://127.0.0.1:0", {
  on_open = function(conn) conn:send(portico.vm.id .. "\n") end,
}))
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
LUA
cat >"$T/ids.lua" <<'LUA'
local portico = require "portico"
assert(portico.vm.id == 1)
local seen, answers = { 0, 0, 0 }, 0
for _ = 1, 30 do
  assert(portico.connect(..., {
    on_data = function(_, id)
      seen[tonumber(id)] = seen[tonumber(id)] + 1
      answers = answers + 1
      if answers == 30 then print(table.concat(seen, " ")) portico.stop(0) end
    end,
  }))
end
LUA
serve vms "$PORTICO" run --vms 3 "$T/vms.lua"
run "$PORTICO" run --vms 3 "$T/ids.lua" "$url"
check 'connections are spread evenly over the VMs' [ "$(cat "$T/run.out")" = '10 10 10' ]
stop vms
