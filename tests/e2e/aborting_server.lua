-- A server that answers nothing and resets each connection after so many bytes.
--   portico run tests/e2e/aborting_server.lua BYTES
local portico = require "portico"
local limit = tonumber((...))
local listener = assert(portico.listen("tcp://127.0.0.1:0", {
  on_open = function(conn)
    conn.data = 0
    if limit == 0 then conn:abort() end
  end,
  on_data = function(conn, data)
    conn.data = conn.data + #data
    if conn.data >= limit then conn:abort() end
  end,
}))
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
