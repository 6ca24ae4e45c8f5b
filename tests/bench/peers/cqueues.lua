-- cqueues.lua: an echo server on cqueues:  lua5.4 cqueues.lua tcp://127.0.0.1:PORT
local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local PIECE_BYTES_MAX <const> = 64 * 1024

-- One coroutine for each connection. write waits until the kernel has taken all, so a peer that does not read is not
-- read from, either.
local function serve(stream)
  stream:setmode("bn", "bn") -- bytes as they are; written at once, nothing kept to be flushed
  stream:onerror(function(_, _, code) return code end) -- a reset ends this connection, not the program
  while true do
    local data = stream:read(-PIECE_BYTES_MAX) -- what is there, up to so much
    if not data or not stream:write(data) then break end
  end
  stream:close()
end

local host, port = (...):match "^tcp://(.+):(%d+)$"
local server = assert(socket.listen { host = host, port = tonumber(port), nodelay = true, backlog = 1024 })
assert(server:listen())
local _, _, bound_port = server:localname()

local loop = cqueues.new()
loop:wrap(function()
  io.stderr:write("listening on tcp://", host, ":", bound_port, "\n")
  for stream in server:clients() do loop:wrap(serve, stream) end
end)
assert(loop:loop())
