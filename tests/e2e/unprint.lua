-- Reads what `print --raw` has shown of one connection, checks its counters, and writes the bytes as they were sent.
--   portico run tests/e2e/unprint.lua < shown > bytes        (the bytes must hold no line of 36 '=')
local portico = require "portico"
local bar = ("="):rep(36)
local block = "^" .. bar .. "\n(.-)\n" .. bar .. "\nbytes=(%d+), total=(%d+)\n"
local total, at = 0, 1
local shown = io.read("a"):gsub("^connected: [^\n]*\n", "")
while true do
  local first, last, data, bytes, so_far = shown:find(block, at)
  if not first then break end
  total = total + #data
  assert(#data == tonumber(bytes) and #data <= 8192 and total == tonumber(so_far), "wrong counters at byte " .. at)
  io.write(data)
  at = last + 1
end
local closed = shown:match("^closed: .-, total=(%d+)\n$", at)
assert(tonumber(closed) == total, "odd end: " .. shown:sub(at, at + 80))
portico.stop(0)
