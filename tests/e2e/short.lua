-- Listens, connects to itself, has its answer, and ends.
--   portico run tests/e2e/short.lua
local portico = require "portico"
local function fail(message)
  io.stderr:write("portico: short: ", message, "\n")
  portico.stop(1)
end

local listener, message = portico.listen("tcp://127.0.0.1:0", { on_data = function(conn, data) conn:send(data) end })
if not listener then return fail(message) end
if portico.vm.id > 1 then return end
local over = false
portico.connect(listener.url, {
  on_open = function(conn) conn:send("hello") end,
  on_data = function()
    over = true
    portico.stop(0)
  end,
  -- Of a start that has failed the program tells, and nobody else: workers that had begun see how the connection ends,
  -- but this timer goes with the program.
  on_close = function(_, err)
    if not over then portico.after(1, fail, err or "it was closed") end
  end,
})
