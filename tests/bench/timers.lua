-- timers.lua - many pending timers, each armed again when it fires: what does one cost?
--
--   portico run --vms 1 tests/bench/timers.lua [COUNT [PER-SECOND [tcp://127.0.0.1:PORT]]]
--
-- COUNT timers (100,000) are pending at any time. Each waits for a time of its own that is COUNT / PER-SECOND (100,000)
-- on average, so that new ones go all over the heap of those that wait and PER-SECOND fire each second. Any line that
-- comes in is answered by how many have fired, and how many seconds after its time the latest one since the line
-- before was called: when that grows, the process cannot keep up. tests/bench/load.c (--counter) asks.

local portico = require "portico"

local count, per_second, url = ...
if url == nil and tostring(count):find "^tcp:" then count, url = nil, count end
count, per_second = tonumber(count) or 100000, tonumber(per_second) or 100000
local mean = count / per_second

local fired, late_max = 0, 0
local after, now, random = portico.after, portico.now, math.random

local function fire(due)
  local time = now()
  fired = fired + 1
  if time - due > late_max then late_max = time - due end
  local wait = mean * (0.5 + random())
  after(wait, fire, time + wait)
end

local start = now()
for _ = 1, count do -- the first round is spread evenly, or all would be due at once
  local wait = 2 * mean * random()
  after(wait, fire, start + wait)
end

local listener = assert(portico.listen(url or "tcp://127.0.0.1:0", {
  on_data = function(conn)
    conn:send(("%d %.6f\n"):format(fired, late_max))
    late_max = 0
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
