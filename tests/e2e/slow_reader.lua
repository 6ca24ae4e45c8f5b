-- A server that takes 1 KiB at a time from one connection, writes it to a file, and ends when the peer has.
--   portico run tests/e2e/slow_reader.lua PATH
local portico = require "portico"
local file = assert(io.open(..., "wb"))
local largest = 0
local listener
listener = assert(portico.listen("tcp://127.0.0.1:0", {
  recv_max = 1024,
  recv_buffer = 4096,
  on_data = function(_, data)
    largest = math.max(largest, #data)
    file:write(data)
  end,
  on_close = function(_, err)
    assert(file:close())
    print(("largest=%d %s"):format(largest, err or "orderly"))
    listener:close()
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
