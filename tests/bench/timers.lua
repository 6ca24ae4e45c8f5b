-- timers.lua - many pending timers, each armed again when it fires: what does one cost?
--
--   portico run --vms 1 tests/bench/timers.lua [COUNT [PER-SECOND [tcp://127.0.0.1:PORT]]]
--
-- COUNT timers (100,000) are pending at any time. Each waits for a time of its own, COUNT / PER-SECOND (100,000) on
-- average and up to half of it more or less, so that new ones go all over those that wait. Any line that comes in is
-- answered by how many have fired since the start, and by how many seconds they were late since the line before: the
-- latest one, and all together. tests/bench/load.c (--counter) asks.

local portico = require "portico"

local count, per_second, url = ...
if url == nil and tostring(count):find "^tcp:" then count, url = nil, count end
count, per_second = tonumber(count) or 100000, tonumber(per_second) or 100000
local mean = count / per_second

local fired, late_max, late_sum = 0, 0, 0
local after, now, random = portico.after, portico.now, math.random

local function fire(due)
  local time = now()
  local late = time - due
  fired = fired + 1
  late_sum = late_sum + late
  if late > late_max then late_max = late end
  local wait = mean * (0.5 + random())
  after(wait, fire, time + wait)
end

-- What is left of a wait when one comes by at any time. Started so, PER-SECOND fire from the first second on; started
-- with whole waits they would all come together, and take many rounds to spread.
local function rest()
  local share = random()
  return mean * (share < 0.5 and share or 1.5 - math.sqrt(2 * (1 - share)))
end

for _ = 1, count do
  local wait = rest()
  after(wait, fire, now() + wait)
end

local listener = assert(portico.listen(url or "tcp://127.0.0.1:0", {
  on_data = function(conn)
    conn:send(("%d %.6f %.6f\n"):format(fired, late_max, late_sum))
    late_max, late_sum = 0, 0
  end,
}))
io.stderr:write("listening on " .. listener.url .. "\n")
