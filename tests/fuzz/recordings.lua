-- recordings.lua - reads each input as a file that `portico run --record` has written. What is one is written again
-- from what was read, and must be the same; of anything else one line says what is wrong, and at which byte.
local sources, input, fail = ...
local recording = assert(load(sources.recording, "=recording", "t"))()

local function write(found)
  local out = { ("portico recording 1\ndirection %s\nurl %s\npeer %s\nstart %d\n\n"):format(found.direction, found.url,
    found.peer, found.start) }
  for _, entry in ipairs(found.entries) do
    local more = entry.data and #entry.data or entry.lost or entry.code
    out[#out + 1] = ("%d %s%s\n"):format(entry.at, entry.what, more and " " .. more or "")
    if entry.data then out[#out + 1] = entry.data .. "\n" end
  end
  return table.concat(out) .. "end\n"
end

local found, why = recording.parse(input)
if not found then
  local at = type(why) == "string" and why:match "^byte (%d+): [^%c]+$"
  if not at then fail(("no line that says what is wrong: %q"):format(tostring(why))) end
  if tonumber(at) < 1 or tonumber(at) > #input + 1 then fail("it is wrong at a byte that is not there: " .. why) end
elseif write(found) ~= input then
  fail(("not the same again: %q"):format(write(found)))
end
