-- A client that sends one byte, and resets its connection when it is told to: by a connection to the address it prints.
--   portico run tests/e2e/resetter.lua URL
local portico = require "portico"
local conn = assert(portico.connect(..., { on_open = function(conn) conn:send("x") end }))
local control
control = assert(portico.listen("tcp://127.0.0.1:0", {
  on_open = function(teller)
    conn:abort()
    teller:close()
    control:close()
  end,
}))
io.stderr:write("listening on " .. control.url .. "\n")
