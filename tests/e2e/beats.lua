-- Timers beside jumps of the clocks and pauses of the process. Runs for 2 s of the clock that the program goes by, and
-- prints "beats=N elapsed=S most=N late=S wall=S hours=N": beats of a timer of 20 ms, most of them in 10 ms, how late
-- a timer of 1 s came, how far the wall clock moved, how many timers of an hour fired.
--   portico run tests/e2e/beats.lua [FAKETIME-FILE JUMP]      writes JUMP, such as +5h, to the file after half a second
local portico = require "portico"
local file, jump = ...
local over = false
local start, wall = portico.now(), os.time()
local beats, most, late, hours = 0, 0, nil, 0
local window, in_window = start, 0

portico.every(0.02, function()
  beats = beats + 1
  local now = portico.now()
  if now - window > 0.01 then window, in_window = now, 0 end
  in_window = in_window + 1
  if in_window > most then most = in_window end
end)
portico.after(1, function() late = portico.now() - start - 1 end)
portico.after(3600, function() hours = hours + 1 end)

-- A connection that is idle meanwhile must be there at the end.
local listener = assert(portico.listen("tcp://127.0.0.1:0", { on_data = function(conn, data) conn:send(data) end }))
local idle = assert(portico.connect(listener.url, {
  on_open = function(conn) conn:send("are you there?") end,
  on_data = function(conn)
    if conn.asked then
      print(("beats=%d elapsed=%.3f most=%d late=%.3f wall=%d hours=%d"):format(beats, portico.now() - start, most,
        late or -1, os.time() - wall, hours))
      over = true
      portico.stop(0)
    end
  end,
  on_close = function(_, err)
    if not over then error(err or "it was closed") end
  end,
}))
portico.after(0.5, function()
  io.stderr:write("half a second\n")
  if not file then return end
  local out = assert(io.open(file, "w"))
  out:write(jump, "\n")
  out:close()
end)
portico.after(2, function()
  idle.asked = true
  idle:send("still?")
end)
