-- echo: sends back what it receives, until the peer has finished.
--   portico run echo                          listens on tcp://127.0.0.1:23232
--   portico run echo tcp://0.0.0.0:7000       any address; port 0 means: any free port
-- Try it:  portico run send --receive -       sends a text and shows what comes back
local portico = require "portico"
local args = require "portico.args"

local options = args.parse({ name = "echo", usage = "[URL]", url = "tcp://127.0.0.1:23232" }, ...)
if not options then return end

-- This is the whole protocol. `send` never blocks: it queues the bytes, and they leave soon after this function
-- has returned. Two things need no code here:
--   * A peer that sends but does not read: Portico stops receiving from it while too much is queued for it.
--   * A peer that has finished sending: as there is no `on_end`, the bytes in the queue leave first, then the
--     connection closes.
local listener, message = portico.listen(options.url, {
  on_data = function(conn, data) conn:send(data) end,
})
if not listener then return args.fail("echo", message) end

-- The script runs once in each Lua state ("VM"), and all of them share the listener. One of them says so.
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
