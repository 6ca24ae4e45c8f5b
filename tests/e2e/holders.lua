-- Clients of an echo server that come, are served once, and then stay: until a control connection sends a word.
--   portico run tests/e2e/holders.lua URL CLIENTS
-- "ask": every client must be answered again. "leave": every client closes. When the server ends them all, it says
-- how many of them ended in order.
local portico = require "portico"
local url, clients = ..., tonumber(arg[2])
local conns, answers, opened, ended, orderly = {}, 0, 0, 0, 0

local control = assert(portico.listen("tcp://127.0.0.1:0", {
  on_data = function(conn, word)
    for _, held in ipairs(conns) do
      if word == "leave" then held:close() else held:send("again") end
    end
    conn:close()
  end,
}))

local handlers = {
  on_open = function(conn)
    opened = opened + 1
    conns[opened] = conn
    conn.data = 0
    conn:send("first")
  end,
  on_data = function(conn, data)
    conn.data = conn.data + #data
    if conn.data % #"first" ~= 0 then return end
    answers = answers + 1
    if answers % clients == 0 then print("all are answered: " .. answers) end
  end,
  on_close = function(_, err)
    ended = ended + 1
    if not err then orderly = orderly + 1 end
    if ended < clients then return end
    print(("ended=%d orderly=%d"):format(ended, orderly))
    control:close()
  end,
}
for _ = 1, clients do assert(portico.connect(url, handlers)) end
io.stderr:write("listening on " .. control.url .. "\n")
