-- portico.testing.capture: in a handler under test, standard output and error go into the log, from which portico.sim
-- takes them apart again. What the log could not carry is encoded as %XX.
local portico = require "portico"

local capture = { MARK = "\1output " } -- begins such a log line; then the stream's name, a space, the bytes

local function encode(byte) return ("%%%02x"):format(byte:byte()) end

local function stream(name)
  local file = {}
  function file:write(...)
    local bytes = table.concat { ... }
    if bytes ~= "" then portico.log("info", capture.MARK .. name .. " " .. bytes:gsub("[%c%%]", encode)) end
    return self
  end
  function file:flush() return self end
  function file:setvbuf() return true end
  function file:close() return true end
  return setmetatable(file, { __name = "FILE*" })
end

---Has print, io.write, io.stdout and io.stderr of this Lua state write into the log.
function capture.start()
  io.stdout, io.stderr = stream "stdout", stream "stderr"
  function io.write(...) return io.stdout:write(...) end
  function print(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    io.stdout:write(table.concat(words, "\t"), "\n")
  end
end

---Takes a log line apart.
---@param text string
---@return string? name of the stream; nil: it is no captured output
---@return string? bytes
function capture.read(text)
  if text:sub(1, #capture.MARK) ~= capture.MARK then return nil end
  local name, bytes = text:sub(#capture.MARK + 1):match "^(%w+) (.*)$"
  return name, bytes and (bytes:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

return capture
