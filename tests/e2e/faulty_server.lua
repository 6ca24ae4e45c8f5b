-- A server for which everything goes wrong, and an echo that must not notice. Prints an address for each.
--   portico run tests/e2e/faulty_server.lua
local portico = require "portico"

local function listen(name, handlers)
  local listener = assert(portico.listen("tcp://127.0.0.1:0", handlers))
  if portico.vm.id == 1 then print(name .. " " .. listener.url) end
end

local function boom(event)
  return function() error("boom in " .. event) end
end
listen("on_open", { on_open = boom "on_open" })
listen("on_data", { on_data = boom "on_data" })
listen("on_end", { on_end = boom "on_end" })
listen("on_close", { on_close = boom "on_close" })
listen("on_drain", {
  send_high = 1,
  on_data = function(conn, data) assert(conn:send(data) == false) end,
  on_drain = boom "on_drain",
})
listen("every", {
  on_open = boom "every on_open", on_data = boom "every on_data", on_end = boom "every on_end",
  on_drain = boom "every on_drain", on_close = boom "every on_close",
})
listen("odd", { on_data = function() error(setmetatable({}, { __tostring = function() error("even here") end })) end })
listen("none", { on_data = function() error() end })
listen("deep", { on_data = function() local function f() return 1 + f() end f() end })
listen("timer", {
  on_end = function() end, -- the timer closes
  on_data = function(conn, data)
    portico.after(0, boom "after")
    local calls, timer = 0, nil
    timer = portico.every(0.001, function()
      calls = calls + 1
      if calls == 3 then
        timer:cancel()
        conn:send(data)
        conn:close()
      end
      error("boom in every")
    end)
  end,
})
listen("loop", {
  on_data = function()
    io.stderr:write("looping\n")
    while true do end
  end,
})
listen("caught", { on_data = function() while true do pcall(function() while true do end end) end end })
listen("coroutine", { on_data = function() coroutine.wrap(function() while true do end end)() end })
listen("memory", {
  on_data = function()
    local all = {}
    for i = 1, math.huge do all[i] = ("x"):rep(1000) .. i end
  end,
})
listen("one_string", { on_data = function() return #("x"):rep(1 << 40) end })
listen("echo", { on_data = function(conn, data) conn:send(data) end })

if portico.vm.id == 1 then io.stderr:write("listening on all\n") end
