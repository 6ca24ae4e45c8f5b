-- lua_api.lua - a script that calls all that portico gives to scripts, as the input's bytes choose: with right and
-- wrong arguments, from handlers, timers, coroutines and finalizers. Each call works or raises an error that names it.
-- From C it has: choose(n) -> 0..n-1, 0 once the bytes are used up; left() -> bytes; fail(text) aborts; trace.
local portico = require "portico"
local choose, left, fail, trace = choose, left, fail, trace

local connections, listeners, timers = {}, {}, {} -- some that were made, live or not
local depth = 0 -- of steps inside of steps
local step

local function pick(list) return list[choose(#list) + 1] end
local function chance(percent) return left() > 0 and choose(100) < percent end

---- values ----

local INTEGERS = { 0, 1, -1, 2, 255, 256, 65535, 65536, 2 ^ 31 | 0, math.maxinteger, math.mininteger }
local FLOATS = { 0.0, 0.5, 1e-7, -1.5, 3e9, 3.1e9, 1e308, 1 / 0, -1 / 0, 0 / 0 }
local NAMES = {
  "on_open", "on_data", "on_end", "on_drain", "on_close", "recv_max", "send_high", "send_limit", "recv_pause",
  "send_buffer", "recv_buffer", "nodelay", "backlog", "reuse_port",
}
local STRINGS = {
  "", "x", "two\nlines", "\0", "on_data\0", "tcp://127.0.0.1:0\0", "url", "id", "peer", "own", "local", "pending",
  "send", "info", "warn", "debug", "error", "topic", ("t"):rep(255), ("t"):rep(256), ("long"):rep(1000), "\27[31m",
}
local URLS = {
  "tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://localhost:0", "tcp://*:0", "tcp://127.0.0.1:7000", "tcp://127.0.0.1:1",
  "tcp://[::1]:7000", "tcp://nowhere:7", "tcp://", "udp://x:1", "tcp://127.0.0.1:99999", "tcp://ho\nst:1",
}

-- Bytes as they are in the input, or one of the names with a slip of the finger.
local function text()
  if chance(30) then
    local bytes = {}
    for i = 1, choose(20) do bytes[i] = string.char(choose(256)) end
    return table.concat(bytes)
  end
  local name = pick(NAMES)
  local at = choose(#name) + 1
  return name:sub(1, at - 1) .. name:sub(at + choose(3)) .. (chance(10) and "\0" or "")
end

local VALUES = {
  function() return nil end,
  function() return chance(50) end,
  function() return pick(INTEGERS) end,
  function() return pick(FLOATS) end,
  function() return pick(STRINGS) end,
  text,
  function() return pick(URLS) end,
  function() return tostring(pick(INTEGERS)) end,
  function() return {} end,
  function() return { [0] = pick(INTEGERS) } end,
  function() return function() step() end end,
  function() return coroutine.create(function() step() end) end,
  function() return pick(connections) end,
  function() return pick(listeners) end,
  function() return pick(timers) end,
  function() return io.stdout end,
}
local function value() return pick(VALUES)() end

local function arguments(max)
  local list = { n = choose(max + 1) }
  for i = 1, list.n do list[i] = value() end
  return list
end

local function url()
  if #listeners > 0 and chance(60) then return pick(listeners).url end
  if chance(70) then return pick(URLS) end
  return value()
end

local function seconds()
  if chance(70) then return choose(100) / 1000 end
  return value()
end

-- A handler table, mostly a right one.
local function handlers()
  if chance(5) then return value() end
  local h = {}
  for _ = 1, choose(6) do
    local name = pick(NAMES)
    if chance(5) then name = value() end
    local fits = name and type(name) == "string" and name:find "^on_" and function(...) step(...) end
      or name == "nodelay" or name == "recv_pause" or name == "reuse_port" and chance(30) or 1 + choose(70000)
    if chance(5) then fits = value() end
    if name ~= nil and name == name then h[name] = fits end
  end
  return h
end

---- calls ----

local function one_line(s) return type(s) == "string" and #s < 1000 and not s:find "[\0-\31\127]" end

local function show(v) return type(v) == "string" and ("%q"):format(v:sub(1, 100)) or tostring(v) end

local function has_zero(s) return type(s) == "string" and s:find("\0", 1, true) end

-- Calls f, whose errors must say `name`. Returns what it returns; nothing after an error.
local function try(name, f, ...)
  if trace then
    local words = table.pack(...)
    for i = 1, words.n do words[i] = show(words[i]) end
    print(("%s%s(%s)"):format(("  "):rep(depth), name, table.concat(words, ", ")))
  end
  local r = table.pack(pcall(f, ...))
  if trace then print(("%s= %s %s"):format(("  "):rep(depth), show(r[2]), show(r[3]))) end
  if not r[1] then
    if not one_line(r[2]) then fail(name .. " raises what is not one line: " .. show(r[2])) end
    if not r[2]:find("'" .. name .. "'", 1, true) and not r[2]:find(name .. ":", 1, true) then
      fail(name .. " raises an error that does not name it: " .. r[2])
    end
    return
  end
  if r.n == 4 and r[2] == nil and not (one_line(r[3]) and tostring(r[4]):find "^E%u+$") then
    fail(name .. " fails without a message and a code: " .. show(r[3]) .. " " .. show(r[4]))
  end
  return table.unpack(r, 2, r.n)
end

local function keep(list, object)
  if object == nil then return end
  list[#list < 8 and #list + 1 or choose(8) + 1] = object
end

-- Each behind a local of its own name, by which Lua's errors call it.
local listen, connect, after, every = portico.listen, portico.connect, portico.after, portico.every
local now, log, stop, subscribe = portico.now, portico.log, portico.stop, portico.subscribe

local function refused_zero(name, at, h, made)
  if not made then return end
  if has_zero(at) then fail(name .. " takes an address with a zero byte: " .. show(at)) end
  for key in pairs(h) do
    if has_zero(key) then fail(name .. " takes the handler " .. show(key)) end
  end
end

local CALLS = {
  function()
    local at, h = url(), handlers()
    local l = try("listen", function(...) local a, b, c = listen(...) return a, b, c end, at, h)
    refused_zero("listen", at, h, l)
    if l and not l.url:find "^tcp://" then fail("no url: " .. tostring(l.url)) end
    keep(listeners, l)
  end,
  function()
    local at, h = url(), handlers()
    local c = try("connect", function(...) local a, b, d = connect(...) return a, b, d end, at, h)
    refused_zero("connect", at, h, c)
    keep(connections, c)
  end,
  function()
    local a = arguments(4)
    local f = chance(80) and function(...) step(...) end or value()
    keep(timers, (try("after", function(...) local t, w, c = after(...) return t, w, c end, seconds(), f,
      table.unpack(a, 1, a.n))))
  end,
  function()
    local a = arguments(4)
    local f = chance(80) and function(...) step(...) end or value()
    keep(timers, (try("every", function(...) local t, w, c = every(...) return t, w, c end, seconds(), f,
      table.unpack(a, 1, a.n))))
  end,
  function() try("now", function(...) local t = now(...) return t end, value()) end,
  function()
    local a = arguments(3)
    local level = pick { "debug", "info", "warn", "error", "loud", false, 7 }
    try("log", function(...) local _ = log(...) end, level, table.unpack(a, 1, a.n))
  end,
  function() if chance(20) then try("stop", function(...) local _ = stop(...) end, value()) end end,
  function()
    try("subscribe", function(...) local r = subscribe(...) return r end, value(),
      chance(70) and function(...) step(...) end or value())
  end,
  function()
    local a = arguments(3)
    local send = pick(connections) and pick(connections).send
    if chance(80) then a[1], a.n = ("x"):rep(choose(2) == 0 and choose(256) or choose(70000)), math.max(a.n, 1) end
    if send then
      try("send", function(...) local r, w, c = send(...) return r, w, c end,
        chance(90) and pick(connections) or value(), table.unpack(a, 1, a.n))
    end
  end,
  function()
    local shutdown = pick(connections) and pick(connections).shutdown
    if not shutdown then return end
    try("shutdown", function(...) local r, w, c = shutdown(...) return r, w, c end,
      chance(90) and pick(connections) or value())
  end,
  function()
    local from = chance(70) and connections or listeners
    local close = pick(from) and pick(from).close
    if not close then return end
    try("close", function(...) local r, w, c = close(...) return r, w, c end, chance(90) and pick(from) or value())
  end,
  function()
    local abort = pick(connections) and pick(connections).abort
    if not abort then return end
    try("abort", function(...) local r, w, c = abort(...) return r, w, c end,
      chance(90) and pick(connections) or value())
  end,
  function()
    local cancel = pick(timers) and pick(timers).cancel
    if not cancel then return end
    try("cancel", function(...) local r, w, c = cancel(...) return r, w, c end, chance(90) and pick(timers) or value())
  end,
  function() -- fields
    local c, l, t = pick(connections), pick(listeners), pick(timers)
    local key = chance(70) and pick { "id", "peer", "own", "local", "pending", "send", "nothing" } or value()
    if c then local _ = c[key], tostring(c) end
    if l then local _ = try("index", function(o, k) local v = o[k] return v end, l, key), tostring(l) end
    if t then local _ = t[key], tostring(t) end
    if getmetatable(c or l or t or 0) then fail "an object shows its metatable" end
  end,
  function() -- fields of the script's own, and the one that is not: it leads to no connection, or to another
    local c, key, v = pick(connections), value(), value()
    if key == 0 then v = pick(chance(50) and INTEGERS or FLOATS) end
    if c and key ~= nil and key == key and type(c) == "table" then
      if key == "send" or key == "close" or key == "shutdown" or key == "abort" then v = nil end
      c[key] = v
    end
  end,
  function() -- forget
    local list = pick { connections, listeners, timers }
    if #list > 0 then table.remove(list, choose(#list) + 1) end
  end,
  function()
    collectgarbage(pick { "step", "collect", "count" })
    if chance(20) then collectgarbage("setpause", choose(200)) end
  end,
  function() -- something to do for the collector, perhaps at the very end
    local kept = { pick(listeners), pick(connections), pick(timers) }
    setmetatable({ kept }, { __gc = function(o)
      for _, x in pairs(o[1]) do
        if type(x) == "userdata" and getmetatable(x) then fail "an object shows its metatable" end
        connections[1] = type(x) == "table" and x or connections[1]
        if type(x) == "userdata" then listeners[1] = tostring(x):find "Listener" and x or listeners[1] end
      end
      step()
    end })
  end,
  function() coroutine.wrap(function(...) step(...) end)(value()) end,
  function() if depth <= 1 and chance(30) then error(pick { "intended", {}, false, 7 }) end end,
}

-- A few calls; what a handler was given is among the objects.
function step(first, ...)
  if depth >= 3 then return end
  depth = depth + 1
  if type(first) == "table" and rawget(first, 0) then keep(connections, first) end
  local ok, why = true, nil
  for _ = 1, 1 + choose(4) do
    if not ok or left() == 0 then break end
    ok, why = pcall(pick(CALLS))
  end
  depth = depth - 1
  if not ok then
    if type(why) == "string" and why ~= "intended" and not why:find "intended$" then fail(why) end
    error(why, 0)
  end
  return ...
end

-- Most inputs would be spent before there is anybody to talk to.
if choose(4) > 0 then
  local h = { on_data = function(c, data) c:send(data) step(c) end, on_open = function(...) step(...) end }
  keep(listeners, portico.listen("tcp://127.0.0.1:7000", h))
  keep(connections, portico.connect("tcp://127.0.0.1:7000",
    { on_open = function(c) c:send "hello" step(c) end, on_data = function(...) step(...) end,
      on_drain = function(...) step(...) end, on_close = function(...) step(...) end }))
end
for _ = 1, 20 do
  if left() > 0 then step() end
end
