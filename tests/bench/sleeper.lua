-- sleeper.lua - an echo of lines that sleeps on request: does a handler that blocks its VM disturb the other VMs?
--
--   portico run --vms 4 --concurrency 2 tests/bench/sleeper.lua [tcp://127.0.0.1:PORT]
--
-- A line "VM?" is answered by the number of the VM that serves the connection, "SLEEP os" and "SLEEP socket" by
-- "SLEPT" after 200 ms spent asleep inside C, any other line by itself. tests/bench/load.c (--sleeper) asks.

local portico = require "portico"

local url = ... or "tcp://127.0.0.1:0"

local naps = {
  os = function() os.execute "sleep 0.2" end,
  socket = function()
    local found, socket = pcall(require, "socket")
    if not found then return "LuaSocket is not installed" end
    socket.sleep(0.2)
  end,
}

local function answer(line)
  if line == "VM?" then return tostring(portico.vm.id) end
  local nap = naps[line:match "^SLEEP (%l+)$"]
  if nap then return nap() or "SLEPT" end
  return line
end

local listener = assert(portico.listen(url, {
  on_open = function(conn) conn.data = "" end, -- the start of a line whose end has not come yet

  on_data = function(conn, data)
    local text = conn.data .. data
    local from = 1
    for line, next_at in text:gmatch "([^\n]*)\n()" do
      conn:send(answer(line) .. "\n")
      from = next_at
    end
    conn.data = text:sub(from)
  end,
}))

-- Every VM runs this file and shares the listener; one of them says where it is.
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
