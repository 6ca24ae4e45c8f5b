-- portico.testing.diff: shows what differs between two values, so that a person finds it at once.
local diff = {}

local BEFORE, AFTER = 40, 40          -- bytes of text shown around the first difference
local HEX_BEFORE, HEX_AFTER = 8, 12   -- bytes of binary data
local DIFFERENCES_MAX, DEPTH_MAX = 10, 4
local SHOWN_MAX = 300                 -- bytes of a value that stands beside its path

local ESCAPES = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function hex_escape(byte) return ("\\x%02x"):format(byte:byte()) end

---Escapes bytes as a Lua string would have them; whole UTF-8 characters stay.
---@param text string
---@return string
function diff.escape(text)
  text = text:gsub('[%c\\"]', function(byte) return ESCAPES[byte] or hex_escape(byte) end)
  return (text:gsub("[\x80-\xff]+", function(run)
    if utf8.len(run) and not run:find "\xc2[\x80-\x9f]" then return run end
    return (run:gsub(".", hex_escape))
  end))
end

local function is_binary(text)
  local _, odd = text:gsub("[^\t\r\n\x20-\x7e\xa0-\xff]", "")
  return odd * 4 > #text or (odd > 0 and not utf8.len(text))
end

local function common_length(a, b)
  local low, high = 0, math.min(#a, #b) -- the first `low` bytes are the same
  while low < high do
    local middle = (low + high + 1) // 2
    if a:sub(1, middle) == b:sub(1, middle) then low = middle else high = middle - 1 end
  end
  return low
end

local function hex(text)
  return (text:gsub(".", function(byte) return ("%02x "):format(byte:byte()) end))
end
local function quoted(text) return diff.escape(text) end

-- One line, and how many columns stand before the byte after `same`.
local function line(label, text, same, before, after, show)
  local first, last = math.max(same - before, 0) + 1, math.min(same + after, #text)
  local open = (first > 1 and "..." or "") .. (show == quoted and '"' or "")
  local close = (show == quoted and '"' or "") .. (last < #text and "..." or "")
  local lead = label .. open .. show(text:sub(first, same))
  local whole = lead .. show(text:sub(same + 1, last)) .. close
  return (whole:gsub(" $", "")), utf8.len(lead) or #lead
end

---Shows two byte strings around their first difference, with a marker below it: text escaped, anything else in hex.
---@param expected string
---@param received string
---@return string lines
function diff.bytes(expected, received)
  local same = common_length(expected, received)
  local binary = is_binary(expected) or is_binary(received)
  local before, after = binary and HEX_BEFORE or BEFORE, binary and HEX_AFTER or AFTER
  local show = binary and hex or quoted
  local upper = line("expected: ", expected, same, before, after, show)
  local lower, column = line("received: ", received, same, before, after, show)
  local what = ("byte %d"):format(same + 1)
  if same == #received then what = ("ends after %d of %d bytes"):format(#received, #expected) end
  if same == #expected then what = ("%d bytes too many"):format(#received - #expected) end
  return ("%s\n%s\n%s^ %s"):format(upper, lower, (" "):rep(column), what)
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if math.type(a) and math.type(b) then return a < b end
    if type(a) ~= type(b) then return type(a) < type(b) end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function key_text(key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return key end
  return "[" .. diff.show(key) .. "]"
end

local function show(value, depth)
  if type(value) == "string" then return '"' .. diff.escape(value) .. '"' end
  if type(value) ~= "table" or (getmetatable(value) or {}).__tostring then return tostring(value) end
  if depth == DEPTH_MAX then return "{...}" end
  local parts, next_index = {}, 1
  for _, key in ipairs(sorted_keys(value)) do
    local text = show(value[key], depth + 1)
    parts[#parts + 1] = key == next_index and text or key_text(key) .. " = " .. text
    if key == next_index then next_index = next_index + 1 end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

---A value as one would write it, in one line.
---@param value any
---@return string
function diff.show(value)
  local text = show(value, 0)
  return #text <= SHOWN_MAX and text or text:sub(1, SHOWN_MAX) .. "..."
end

local function step(key)
  local text = key_text(key)
  return text:sub(1, 1) == "[" and text or "." .. text
end

local function compare(expected, received, path, found, compared)
  if expected == received or expected ~= expected and received ~= received then return end -- NaN is as NaN
  if type(expected) ~= "table" or type(received) ~= "table" then
    found[#found + 1] = { path = path, expected = expected, received = received }
    return
  end
  compared[expected] = compared[expected] or {}
  if compared[expected][received] then return end -- a cycle, which is being compared already
  compared[expected][received] = true
  for _, key in ipairs(sorted_keys(expected)) do
    compare(expected[key], received[key], path .. step(key), found, compared)
  end
  for _, key in ipairs(sorted_keys(received)) do
    if expected[key] == nil then found[#found + 1] = { path = path .. step(key), received = received[key] } end
  end
end

---Tells whether two values are the same, tables by what is in them.
---@return boolean
function diff.same(expected, received)
  local found = {}
  compare(expected, received, "", found, {})
  return #found == 0
end

---Shows how two values differ: strings byte by byte, tables key by key.
---@return string lines
function diff.values(expected, received)
  if type(expected) == "string" and type(received) == "string" then return diff.bytes(expected, received) end
  if type(expected) ~= "table" or type(received) ~= "table" then
    return ("expected: %s\nreceived: %s"):format(diff.show(expected), diff.show(received))
  end
  local found, lines = {}, {}
  compare(expected, received, "", found, {})
  for i = 1, math.min(#found, DIFFERENCES_MAX) do
    lines[i] = ("at %s\n  expected: %s\n  received: %s"):format(found[i].path, diff.show(found[i].expected),
      diff.show(found[i].received))
  end
  if #found > DIFFERENCES_MAX then lines[#lines + 1] = ("and %d more"):format(#found - DIFFERENCES_MAX) end
  if #found == 0 then lines[1] = "two tables with the same contents (assert.same is about these)" end
  return table.concat(lines, "\n")
end

return diff
