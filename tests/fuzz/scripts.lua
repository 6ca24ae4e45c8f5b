-- scripts.lua - runs a default script with a portico of cardboard, in an environment where it can open and write
-- nothing. Called with the sources of the scripts and of portico.args by name, and the input; fail(text) aborts.
-- The first byte of the input chooses the script, its last word is what a peer sends; words end with a NUL, or, if
-- there is none, with a new line.
local sources, input, fail = ...
local NAMES = { "echo", "print", "send" }

local function split(text)
  local words, ends = {}, text:find("\0", 1, true) and "\0" or "\n"
  for word in (text .. ends):gmatch("(.-)" .. (ends == "\0" and "%z" or ends)) do words[#words + 1] = word end
  return words
end

-- What the script has done.
local out, err, stopped, handlers = "", "", nil, nil

local function run(source, env, ...)
  return assert(load(sources[source], "=" .. source, "t", env))(...)
end

local function take(url, h)
  if stopped then fail "it goes on after it has stopped" end
  if type(url) ~= "string" or not url:find("://", 1, true) then fail("no address: " .. tostring(url)) end
  handlers = h
  return { url = url, close = function() end, send = function() return true end, shutdown = function() end }
end

local portico = {
  vm = { id = 1, count = 1 }, listen = take, connect = take,
  stop = function(code) stopped = stopped or code end,
  every = function() return { cancel = function() end } end,
}

local function environment()
  local env = setmetatable({}, { __index = _G })
  local function file(write) return { write = function(f, text) write(text) return f end, flush = function() end,
    setvbuf = function() end, read = function() end } end
  env.print = function(text) out = out .. text .. "\n" end
  env.io = {
    stderr = file(function(text) err = err .. text end), stdout = file(function(text) out = out .. text end),
    stdin = file(), open = function(path) return nil, path .. ": No such file or directory" end,
  }
  env.require = function(name)
    return name == "portico" and portico or run("args", env)
  end
  return env
end

local function check_mistake(name)
  if handlers then fail "a mistake, and it serves" end
  if out ~= "" then fail("a mistake, and it prints: " .. out) end
  if not err:find("^portico: " .. name .. ": [^%c]*\n$") then fail(("not one line: %q"):format(err)) end
end

-- Nothing that could drive a terminal, and UTF-8 throughout.
local function check_printed(text)
  if text:find "[\0-\8\11-\31\127]" or text:find "\xc2[\x80-\x9f]" or not utf8.len(text) then
    fail(("printed: %q"):format(text))
  end
end

local function check_data(name, words, data)
  local conn = { peer = "tcp://127.0.0.1:1", pending = 0, send = function() return true end, close = function() end,
    shutdown = function() end }
  local shown = #out
  if handlers.on_open then handlers.on_open(conn) end
  handlers.on_data(conn, data)
  if handlers.on_close then handlers.on_close(conn) end
  local raw = false
  for _, word in ipairs(words) do raw = raw or word == "--raw" end
  if name == "print" and not raw then check_printed(out:sub(shown + 1)) end
end

local name = NAMES[(input:byte(1) or 0) % #NAMES + 1]
local words = split(input:sub(2))
local data = table.remove(words)
run(name, environment(), table.unpack(words))
if stopped == 2 then check_mistake(name)
elseif handlers then check_data(name, words, data) end
