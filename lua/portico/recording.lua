-- portico.recording: reads the files that `portico run --record` writes. src/host/README.md tells the format. Whatever
-- the bytes are, parse returns a recording or one line that says what is wrong with them, and where.
local recording = {}

local FILE_MAX = 64 * 1024 * 1024  -- bytes; as RECORDING_FILE_MAX in src/vm/recording.h
local DIGITS_MAX = 19              -- of a number; not all that have so many fit
local TIME_MAX = 10 ^ 18           -- ns, of one connection: what a simulated clock can wait
local URL_MAX = 400

---@class portico.Recording
---@field direction "accepted"|"outgoing"
---@field url string where the script listened, or what it connected to
---@field peer string
---@field start integer ns since 1970-01-01 UTC
---@field entries portico.Recording.Entry[] the last one is "closed"

---@class portico.Recording.Entry
---@field at integer ns since the start, never less than that of the entry before
---@field what "received"|"sent"|"received-end"|"open"|"shutdown"|"close"|"abort"|"lost"|"closed"
---@field data? string of "received" and "sent"
---@field lost? integer bytes
---@field code? string why it was closed: "ECONNRESET"; nil after an orderly end

-- A reader has the `text`, where to go on in it (`at`), and where its last line began (`before`).

-- Leaves parse: wrong at this byte, or at `at`.
local function fail(reader, what, at) error({ ("byte %d: %s"):format(at or reader.at, what) }, 0) end

-- The next line without its end; its first byte is where a mistake in it is.
local function line(reader, what)
  local stop = reader.text:find("\n", reader.at, true)
  if not stop then fail(reader, ("the file ends in %s: it is cut off"):format(what), #reader.text + 1) end
  local found = reader.text:sub(reader.at, stop - 1)
  reader.before, reader.at = reader.at, stop + 1
  return found
end

local function number(reader, digits, what)
  if not digits:find "^%d+$" or #digits > DIGITS_MAX or #digits > 1 and digits:sub(1, 1) == "0" then
    fail(reader, ("%s is no number of at most %d digits"):format(what, DIGITS_MAX), reader.before)
  end
  local value = math.tointeger(tonumber(digits))
  if not value then fail(reader, what .. " is too great", reader.before) end
  return value
end

local function header(reader, name, pattern)
  local value = line(reader, "the header"):match("^" .. name .. " (" .. pattern .. ")$")
  if not value or #value > URL_MAX then fail(reader, ("not a line '%s ...'"):format(name), reader.before) end
  return value
end

local function payload(reader, size, what)
  local count = number(reader, size, "the length")
  if count == 0 or count > FILE_MAX then fail(reader, "the length is not 1 to 67108864", reader.before) end
  if reader.at + count > #reader.text then
    fail(reader, ("the file ends in %d bytes that were %s: it is cut off"):format(count, what), #reader.text + 1)
  end
  local data = reader.text:sub(reader.at, reader.at + count - 1)
  reader.at = reader.at + count
  if reader.text:sub(reader.at, reader.at) ~= "\n" then fail(reader, "no new line behind the bytes") end
  reader.at = reader.at + 1
  return data
end

-- Each reads what stands behind the word, into the entry.
local WORDS = {
  received = function(reader, rest, entry) entry.data = payload(reader, rest, "received") end,
  sent = function(reader, rest, entry) entry.data = payload(reader, rest, "sent") end,
  lost = function(reader, rest, entry) entry.lost = number(reader, rest, "the count") end,
  closed = function(reader, rest, entry)
    if rest ~= "" and not rest:find "^E%u+$" then fail(reader, "no name of an error", reader.before) end
    entry.code = rest ~= "" and rest or nil
  end,
}
for _, word in ipairs { "received-end", "open", "shutdown", "close", "abort" } do
  WORDS[word] = function(reader, rest)
    if rest ~= "" then fail(reader, ("nothing stands behind '%s'"):format(word), reader.before) end
  end
end

-- What may not follow what: a handler gets nothing behind the end, and sends nothing behind its own.
local NEVER_AFTER = {
  received = { "received-end", "lost", "close", "abort" },
  sent = { "shutdown", "lost", "close", "abort" },
  ["received-end"] = { "received-end", "lost", "close", "abort" },
  shutdown = { "shutdown", "lost", "close", "abort" },
  close = { "close", "lost", "abort" },
  abort = { "abort", "lost" },
  open = { "open", "received", "lost" },
  lost = { "lost" },
  closed = {},
}

local function read_entry(reader, last, seen)
  local text = line(reader, "an entry")
  local at, word, rest = text:match "^(%d+) ([%l-]+) ?(.*)$"
  local read = WORDS[word]
  if not read then fail(reader, "not an entry of the kind 'TIME WORD ...'", reader.before) end
  if text ~= at .. " " .. word .. (rest ~= "" and " " .. rest or "") then
    fail(reader, "a space too many", reader.before)
  end
  local entry = { at = number(reader, at, "the time"), what = word }
  if entry.at > TIME_MAX then fail(reader, "the time is too great", reader.before) end
  if entry.at < last then fail(reader, "the time goes back", reader.before) end
  for _, other in ipairs(NEVER_AFTER[word]) do
    if seen[other] then fail(reader, ("'%s' behind '%s'"):format(word, other), reader.before) end
  end
  seen[word] = true
  read(reader, rest, entry)
  return entry
end

local function read(text)
  local reader = { text = text, at = 1, before = 1 }
  if #text > FILE_MAX then fail(reader, "more than 64 MiB") end
  if line(reader, "its first line") ~= "portico recording 1" then
    fail(reader, "not 'portico recording 1': this is no recording, or one of another version", 1)
  end
  local found = { entries = {} }
  found.direction = header(reader, "direction", "%l+")
  if found.direction ~= "accepted" and found.direction ~= "outgoing" then
    fail(reader, "the direction is not 'accepted' or 'outgoing'", reader.before)
  end
  found.url = header(reader, "url", "tcp://[^%c ]+:%d+")
  found.peer = header(reader, "peer", "tcp://[^%c ]+")
  found.start = number(reader, header(reader, "start", "%d+"), "the start")
  if line(reader, "the header") ~= "" then fail(reader, "no empty line behind the header", reader.before) end
  local entry, last, seen = nil, 0, {}
  repeat
    entry = read_entry(reader, last, seen)
    found.entries[#found.entries + 1], last = entry, entry.at
  until entry.what == "closed"
  if line(reader, "its last line") ~= "end" then fail(reader, "not 'end', the last line", reader.before) end
  if reader.at <= #text then fail(reader, "something stands behind the end") end
  return found
end

---Reads the text of a file.
---@param text string
---@return portico.Recording?
---@return string? err "byte N: what is wrong"
function recording.parse(text)
  local good, found = pcall(read, text)
  if good then return found end
  if type(found) ~= "table" then error(found, 0) end -- a mistake of ours
  return nil, found[1]
end

---Reads a file.
---@param path string
---@return portico.Recording?
---@return string? err with the path in front
function recording.load(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local text, wrong = file:read(FILE_MAX + 1)
  file:close()
  if wrong then return nil, ("%s: %s"):format(path, wrong) end
  local found, problem = recording.parse(text or "")
  if not found then return nil, ("%s: %s"):format(path, problem) end
  return found
end

return recording
