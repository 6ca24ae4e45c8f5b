-- A chat: what one client says all others hear, and who comes and goes.
--   portico run --vms 1 tests/e2e/chat.lua URL
local portico = require "portico"
local here, guests = {}, 0

local function tell(all_but, text)
  for _, conn in ipairs(here) do
    if conn ~= all_but then conn:send(text) end
  end
end

local listener = assert(portico.listen(..., {
  on_open = function(conn)
    guests = guests + 1
    conn.name = "guest " .. guests
    here[#here + 1] = conn
    conn:send("you are ", conn.name, "\n")
    tell(conn, conn.name .. " comes\n")
  end,
  on_data = function(conn, data) tell(conn, conn.name .. ": " .. data) end,
  on_close = function(conn)
    for i, other in ipairs(here) do
      if other == conn then table.remove(here, i) break end
    end
    tell(nil, conn.name .. " goes\n")
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
