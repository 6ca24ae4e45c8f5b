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

# VMs that come to a listener one after the other, while it serves already; and each with one of its own.
cat >"$T/late.lua" <<'LUA'
local portico = require "portico"
local url, own = ...
local options = { reuse_port = own == "own" }
local function tell(listener)
  io.stderr:write("VM " .. portico.vm.id .. " listens on " .. listener.url .. "\n")
end
portico.subscribe("any", print) -- so that the other VMs run this, too
portico.after(0.05 * portico.vm.id, function()
  local listener = assert(portico.listen(url, options))
  if own == "shared" then return tell(listener) end
  assert(portico.listen(url, options) and portico.listen("tcp://127.0.0.2:0", options))
  portico.after(0.01, function() -- once more, while the one before is on its way out
    listener:close()
    tell(assert(portico.listen(url, options)))
  end)
end)
LUA
for own in shared $([ "$PORTICO_OS" = windows ] || echo own); do
  start late "$PORTICO" run --vms 3 "$T/late.lua" tcp://127.0.0.1:0 $own
  for vm in 1 2 3; do await late.err "^VM $vm listens on " || exit 1; done
  pass "VMs listen one after the other ($own)"
  [ $own = own ] || check 'they have one port' [ "$(sed 's/.*://' "$T/late.err" | sort -u | wc -l)" -eq 1 ]
  stop late
done

# What was sent leaves before a call that is known to block: the server waits in a shell for what its client writes only
# when it has been answered.
if [ "$PORTICO_OS" = linux ]; then
  mkfifo "$T/answered"
  cat >"$T/blocks.lua" <<'LUA'
local portico = require "portico"
local fifo = ...
local listener = assert(portico.listen("tcp://127.0.0.1:0", {
  on_data = function(conn)
    conn:send("before")
    os.execute("read line <'" .. fifo .. "'")
    conn:send(" after")
    conn:close()
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
LUA
  cat >"$T/answers.lua" <<'LUA'
local portico = require "portico"
local url, fifo = ...
local all = ""
assert(portico.connect(url, {
  on_open = function(conn) conn:send("x") end,
  on_data = function(_, data)
    if all == "" then assert(io.open(fifo, "w")):write("go\n"):close() end
    all = all .. data
  end,
  on_close = function() print(all) end,
}))
LUA
  serve blocks "$PORTICO" run --vms 1 "$T/blocks.lua" "$T/answered"
  run "$PORTICO" run "$T/answers.lua" "$url" "$T/answered"
  check 'what was sent before os.execute does not wait for it' [ "$(cat "$T/run.out")" = 'before after' ]
  stop blocks
fi
