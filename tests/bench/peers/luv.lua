-- luv.lua: an echo server on luv, libuv for Lua:  lua5.4 luv.lua tcp://127.0.0.1:PORT
local uv = require "luv"

local BACKLOG <const> = 1024
local QUEUED_BYTES_MAX <const> = 256 * 1024 -- above it nothing is read until the peer has read

local function close(stream)
  if not stream:is_closing() then stream:close() end
end

local read_on -- (stream): starts to read, or starts again

-- What try_write cannot send at once is queued.
local function echo(stream, data)
  local sent = stream:try_write(data) or 0
  if sent == #data then return end
  stream:write(data:sub(sent + 1), function(err)
    if err then close(stream) elseif stream:write_queue_size() == 0 then read_on(stream) end
  end)
  if stream:write_queue_size() > QUEUED_BYTES_MAX then stream:read_stop() end
end

local function finish(stream)
  if not stream:shutdown(function() close(stream) end) then close(stream) end -- after what is queued
end

local function on_read(stream, err, data)
  if data then echo(stream, data) elseif err then close(stream) else finish(stream) end
end

function read_on(stream)
  if stream:is_closing() then return end
  stream:read_start(function(err, data) on_read(stream, err, data) end)
end

local server = uv.new_tcp()
local host, port = (...):match "^tcp://(.+):(%d+)$"
assert(server:bind(host, tonumber(port)))
assert(server:listen(BACKLOG, function(err)
  local stream = uv.new_tcp()
  if err or not server:accept(stream) then return close(stream) end
  stream:nodelay(true)
  read_on(stream)
end))
io.stderr:write("listening on tcp://", host, ":", server:getsockname().port, "\n")
uv.run()
