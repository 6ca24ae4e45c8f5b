-- portico.testing.failure: what a test ended with: a text for people, where in the test, and the way there.
local diff = require "portico.testing.diff"

local failure = {}

local Failure = { __name = "failure" }
Failure.__index = Failure
function Failure:__tostring() return self.where .. self.text end

-- Frames of the program's own modules tell a user nothing.
local function is_ours(source) return source:find "^[=@]?portico%.[%w_.]*lua" or source:find "^[=@]%[C%]" end

-- "FILE:LINE: " of the innermost line that is the user's.
local function position()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "" end
    if info.what ~= "C" and info.currentline > 0 and not is_ours(info.source) then
      return ("%s:%d: "):format(info.source:gsub("^[@=]", ""), info.currentline)
    end
    level = level + 1
  end
end

-- The frames that are the user's, innermost first; none if there is but one, which position() has told.
local function trace()
  local lines = {}
  for line in debug.traceback("", 2):gmatch "[^\n]+" do
    local frame = line:match "^%s+(.*)$"
    if frame and not is_ours(frame) and not frame:find "^%[C%]" and not frame:find "^%(%.%.%." then
      lines[#lines + 1] = frame
    end
  end
  return #lines > 1 and lines or {}
end

---Raises a failure at the user's line that led here.
---@param text string
---@param kind? "pending"
function failure.raise(text, kind)
  error(setmetatable({ where = position(), text = text, trace = trace(), kind = kind }, Failure), 0)
end

---Raises a caught failure again, with words in front that say under what circumstances it came.
---@param problem table
---@param circumstances string
function failure.raise_again(problem, circumstances)
  if problem.kind ~= "pending" then problem.text = circumstances .. problem.text end
  error(problem, 0)
end

---Turns anything that was raised into a failure.
---@param raised any
---@return table failure with `where`, `text`, `trace` (lines) and perhaps `kind`
function failure.of(raised)
  if getmetatable(raised) == Failure then return raised end
  local mute = type(raised) == "table" and not (getmetatable(raised) or {}).__tostring
  local words = mute and "a table was raised: " .. diff.show(raised) or tostring(raised)
  local where, text = words:match "^([^\n]-:%d+: )(.*)$"
  if where and is_ours("=" .. where) then where = position() end -- a wrong argument that we have handed on
  return setmetatable({ where = where or "", text = text or words, trace = trace() }, Failure)
end

---Calls a function as pcall does; what it raises comes back as a failure.
function failure.catch(fn, ...) return xpcall(fn, failure.of, ...) end

return failure
