-- The server of the soak: every listener echoes, each in a way of its own that gives the program something to do.
-- Writes "KIND URL" for each, and for each VM "control URL": a line sent there is answered by the figures of that VM.
--   portico run tests/soak/server.lua [loops]      loops: some handlers never end (not with the thread sanitizer)
local portico = require "portico"
local loops = ... == "loops"
local open, opened, closed, errors, pending, beats = 0, 0, 0, 0, 0, 0

local function after(seconds, fn, ...)
  pending = pending + 1
  return portico.after(seconds, function(...)
    pending = pending - 1
    fn(...)
  end, ...)
end

-- Listens with the handlers given, and counts.
local function listen(handlers, url)
  local on_open, on_close = handlers.on_open, handlers.on_close
  handlers.on_open = function(conn)
    open, opened = open + 1, opened + 1
    if on_open then on_open(conn) end
  end
  handlers.on_close = function(conn, ...)
    open, closed = open - 1, closed + 1
    if on_close then on_close(conn, ...) end
  end
  return portico.listen(url, handlers)
end
local function serve(kind, handlers)
  local listener = assert(listen(handlers, "tcp://127.0.0.1:0"))
  if portico.vm.id == 1 then io.stderr:write(kind, " ", listener.url, "\n") end
  return listener
end

local function echo(conn, data) conn:send(data) end
local echo_url = serve("echo", { on_data = echo }).url
serve("shared", { on_data = echo, reuse_port = true })
serve("tight", { on_data = echo, send_high = 1000, recv_max = 700, send_buffer = 4096, recv_buffer = 4096 })

-- A slow sender: the answer leaves in pieces, by a timer of the connection.
serve("slow", {
  on_open = function(conn)
    conn.queue, conn.bytes = {}, 0
    conn.timer = portico.every(0.02, function()
      local piece = table.remove(conn.queue, 1)
      if piece then conn:send(piece) elseif conn.ended then conn:close() end
    end)
    pending = pending + 1
  end,
  on_data = function(conn, data) table.insert(conn.queue, data) end,
  on_end = function(conn) conn.ended = true end,
  on_close = function(conn)
    conn.timer:cancel()
    pending = pending - 1
  end,
})

-- Passes everything on to the echo above over a connection of its own, and back.
serve("chain", {
  on_open = function(conn)
    conn.up = assert(portico.connect(echo_url, {
      on_data = function(_, data) conn:send(data) end,
      on_close = function(_, err)
        if err then conn:abort() else conn:close() end
      end,
    }))
  end,
  on_data = function(conn, data) conn.up:send(data) end,
  on_end = function(conn) conn.up:shutdown() end,
  on_close = function(conn, err)
    if err then conn.up:abort() else conn.up:close() end
  end,
})

-- Blocks its VM in three ways.
local function blocked(data)
  local how = data:byte() % 8
  if how == 0 then os.execute("exec sleep 0.03")
  elseif how == 1 then assert(io.popen("sleep 0.03; echo done")):close()
  elseif how == 2 then
    local till = os.clock() + 0.03
    while os.clock() < till do end
  end
end
serve("blocking", {
  on_data = function(conn, data)
    blocked(data)
    conn:send(data)
  end,
})

-- Raises in all its handlers, now and then; the connection ends by it.
local function perhaps(where)
  if math.random(8) > 1 then return end
  errors = errors + 1
  if loops and math.random(40) == 1 then while true do end end
  error("raised in " .. where)
end
serve("faulty", {
  on_open = function() perhaps "on_open" end,
  on_data = function(conn, data)
    perhaps "on_data"
    conn:send(data)
  end,
  on_close = function() perhaps "on_close" end,
})

-- Stops listening and begins again, each VM at its own pace.
local restless = serve("restless", { on_data = echo })
local url, pause = restless.url, nil
local function resume()
  local listener, message, code = listen({ on_data = echo }, url)
  if listener then restless = listener else assert(code == "EADDRINUSE", message) end -- the socket is not closed yet
  after(listener and 0.3 + math.random() or 0.01, listener and pause or resume)
end
function pause()
  restless:close()
  after(0.05, resume)
end
after(1, pause)
pending = 0 -- there is always one of these two

portico.every(0.01, function() beats = beats + 1 end)
portico.every(0.5, function() if portico.vm.id == 1 then error("a timer raises, and goes on") end end)

-- One for each VM: an address of its own, so that the VMs do not share it.
local control = assert(portico.listen(("tcp://127.0.0.%d:0"):format(portico.vm.id + 1), {
  on_data = function(conn)
    collectgarbage()
    collectgarbage()
    conn:send(("open=%d opened=%d closed=%d pending=%d errors=%d beats=%d bytes=%d\n"):format(open, opened, closed,
      pending, errors, beats, math.floor(collectgarbage("count") * 1024)))
    conn:close()
  end,
}))
io.stderr:write("control ", control.url, "\n")
if portico.vm.id == portico.vm.count then io.stderr:write("listening on all\n") end
