-- broadcast.lua - what one connection sends goes to all, itself included.
--
--   portico run --vms 1 tests/bench/broadcast.lua [tcp://127.0.0.1:PORT]
--
-- One VM, as a table of connections is a plain Lua table: those of another VM would not be in it.

local portico = require "portico"

local everyone = {} -- a list; each connection knows its place in it

local listener = assert(portico.listen(... or "tcp://127.0.0.1:0", {
  on_open = function(conn)
    everyone[#everyone + 1] = conn
    conn.place = #everyone
  end,

  on_data = function(_, data)
    for i = 1, #everyone do everyone[i]:send(data) end
  end,

  on_close = function(conn)
    local last = table.remove(everyone)
    if last ~= conn then -- the last one takes the place that is free now
      last.place = conn.place
      everyone[last.place] = last
    end
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
