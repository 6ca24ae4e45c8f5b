-- copas.lua: an echo server on Copas and LuaSocket:  lua5.2 copas.lua tcp://127.0.0.1:PORT
-- Lua 5.2, because Debian 12 has Copas for 5.1 and 5.2 only. Copas waits with select(), which takes descriptors below
-- 1024: there is no room for more than about a thousand connections.
local copas = require "copas"
local socket = require "socket"

local BACKLOG = 1024
local PIECE_BYTES_MAX = 64 * 1024

local host, port = (...):match "^tcp://(.+):(%d+)$"
local server = assert(socket.bind(host, tonumber(port), BACKLOG))
local _, bound_port = server:getsockname()

-- One coroutine for each connection. send waits until the kernel has taken all.
copas.addserver(server, function(stream)
  stream:setoption("tcp-nodelay", true)
  while true do
    local data, err, part = copas.receivePartial(stream, PIECE_BYTES_MAX)
    data = data or part -- what is there, up to so much
    if data and #data > 0 and not copas.send(stream, data) then break end
    if err and err ~= "timeout" then break end
  end
  stream:close()
end)
io.stderr:write("listening on tcp://", host, ":", bound_port, "\n")
copas.loop()
