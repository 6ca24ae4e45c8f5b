-- ping.lua: speaks as much of redis' protocol (RESP2) as PING needs, so that redis-benchmark can compare Portico with
-- redis-server:  portico run tests/bench/ping.lua tcp://127.0.0.1:7000
-- Commands: PING, ECHO, QUIT; CONFIG GET and COMMAND are answered so that redis-benchmark and redis-cli start. Requests
-- are arrays of bulk strings or lines of words (without quotes), cut anywhere and as many at a time as the peer likes.
local portico = require "portico"
local args = require "portico.args"

local options = args.parse({ name = "ping", usage = "[URL]", url = "tcp://127.0.0.1:23232" }, ...)
if not options then return end

local REQUEST_BYTES_MAX <const> = 64 * 1024 -- what a peer can make us keep of a request that it never ends
local WORDS_MAX <const> = 1024
local LENGTH_BYTES_MAX <const> = 32 -- of a line like *3 or $100
local PING <const>, PONG <const> = "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"

-- --- commands: take the words of a request, return the reply and true if that ends the connection ---

local function bulk(text) return "$" .. #text .. "\r\n" .. text .. "\r\n" end
local function wrong_count(name) return "-ERR wrong number of arguments for '" .. name .. "' command\r\n" end

local SETTINGS <const> = { save = "", appendonly = "no" } -- what redis-benchmark asks for
local commands = {}

function commands.ping(words)
  if #words > 2 then return wrong_count "ping" end
  return words[2] and bulk(words[2]) or PONG
end

function commands.echo(words) return #words == 2 and bulk(words[2]) or wrong_count "echo" end
function commands.quit() return "+OK\r\n", true end
function commands.command() return "*0\r\n" end

function commands.config(words)
  if #words ~= 3 or words[2]:lower() ~= "get" then return wrong_count "config" end
  local value = SETTINGS[words[3]:lower()]
  return value and "*2\r\n" .. bulk(words[3]) .. bulk(value) or "*0\r\n"
end

local function answer(words)
  local command = commands[words[1]:lower()]
  if command then return command(words) end
  return "-ERR unknown command '" .. words[1]:sub(1, 128):gsub("%c", " ") .. "'\r\n"
end

-- --- requests: return the words and the place after them; nothing if bytes are missing; or nil, nil, what is wrong ---

-- Reads a line like *3 or $100 at `at`: returns the number and the place after the line.
local function parse_length(data, at, max, what)
  local stop = data:find("\r\n", at, true)
  if not stop then
    if #data - at >= LENGTH_BYTES_MAX then return nil, nil, "too big " .. what end
    return
  end
  local digits = data:match("^%-?%d+()", at + 1)
  local length = digits == stop and stop - at <= LENGTH_BYTES_MAX and tonumber(data:sub(at + 1, stop - 1))
  if not length or length > max then return nil, nil, "invalid " .. what end
  return length, stop + 2
end

local function parse_word(data, at)
  local sign = data:sub(at, at)
  if sign == "" then return end
  if sign ~= "$" then return nil, nil, "expected '$', got '" .. sign:gsub("%c", " ") .. "'" end
  local length, start, problem = parse_length(data, at, REQUEST_BYTES_MAX, "bulk length")
  if not length then return nil, nil, problem end
  if length < 0 then return nil, nil, "invalid bulk length" end
  local after = start + length + 2
  if #data < after - 1 then return end
  if data:sub(after - 2, after - 1) ~= "\r\n" then return nil, nil, "expected the end of a bulk string" end
  return data:sub(start, after - 3), after
end

local function parse_array(data, at)
  local count, after, problem = parse_length(data, at, WORDS_MAX, "multibulk length")
  if not count then return nil, nil, problem end
  local words = {}
  for i = 1, count do
    words[i], after, problem = parse_word(data, after)
    if not words[i] then return nil, nil, problem end
  end
  return words, after
end

local function parse_line(data, at)
  local stop = data:find("\n", at, true)
  if not stop then return end
  local words = {}
  for word in data:sub(at, stop - 1):gmatch "%S+" do words[#words + 1] = word end
  return words, stop + 1
end

local STAR <const> = ("*"):byte()
local function parse(data, at)
  local words, after, problem = (data:byte(at) == STAR and parse_array or parse_line)(data, at)
  if not words and not problem and #data - at >= REQUEST_BYTES_MAX then problem = "too big request" end
  return words, after, problem
end

-- --- connections ---

local rests = {} -- by connection: the beginning of a request whose end has not come

-- Answers all whole requests in data with one send and keeps what is left.
local function serve(conn, data)
  local at, replies = 1, {}
  local ending, words, after, problem = false, nil, nil, nil
  while at <= #data and not ending do
    words, after, problem = parse(data, at)
    if not words then break end
    if words[1] then replies[#replies + 1], ending = answer(words) end
    at = after
  end
  if problem then
    replies[#replies + 1] = "-ERR Protocol error: " .. problem .. "\r\n"
    ending = true
  end
  if replies[1] then conn:send(table.concat(replies)) end
  if ending then conn:close() end
  rests[conn] = not ending and at <= #data and data:sub(at) or nil
end

-- Most of what a PING benchmark sends is some PINGs and nothing else, spelled like this. To compare a piece with as
-- many of them takes one memcmp; every other piece goes through the parser.
local pings, pongs = {}, {} -- by length in bytes
for count = 1, 64 do
  pings[count * #PING] = PING:rep(count)
  pongs[count * #PING] = PONG:rep(count)
end

local listener, message = portico.listen(options.url, {
  backlog = 1024,
  on_data = function(conn, data)
    local rest = rests[conn]
    if rest then
      serve(conn, rest .. data)
    elseif data == pings[#data] then
      conn:send(pongs[#data])
    else
      serve(conn, data)
    end
  end,
  on_close = function(conn) rests[conn] = nil end,
})
if not listener then return args.fail("ping", message) end

if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
