-- What the standard libraries do in here that differs, or must not. Ends with 0, or with an error that tells the line.
local portico = require "portico"
local folder = ...

local function refused(pattern, ok, message)
  assert(not ok and tostring(message):find(pattern), tostring(message))
end
local function write(name, text)
  local path = folder .. "/" .. name
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- coroutines behave as Lua's own do
local pass = coroutine.create(function(a, b)
  local c, d, e = coroutine.yield(a + b, "x")
  return c, d, e
end)
assert(select("#", coroutine.resume(pass, 1, 2)) == 3)
pass = coroutine.create(function(...) return coroutine.yield(...) end)
local function same(ok, a, b, ...) return ok == true and a == nil and b == false and select("#", ...) == 0 end
assert(same(coroutine.resume(pass, nil, false)) and same(coroutine.resume(pass, nil, false)))
refused("cannot resume dead coroutine", coroutine.resume(pass))
refused("expected", pcall(coroutine.resume, 1))
local thrown = { "a table" }
local ok, value = coroutine.resume(coroutine.create(function() error(thrown) end))
assert(not ok and value == thrown)
refused("library.lua:%d+: text", coroutine.resume(coroutine.create(function() error "text" end)))
refused("library.lua:%d+: text", pcall(coroutine.wrap(function() error "text" end)))
refused("library.lua:%d+: [^ ]*library.lua:%d+: text", pcall(function()
  coroutine.wrap(function() error "text" end)()
  return
end))
ok, value = pcall(coroutine.wrap(function() error(thrown) end))
assert(not ok and value == thrown)
local inner = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
local outer = coroutine.wrap(function() while true do coroutine.yield(inner()) end end)
assert(outer() == 1 and outer() == 2 and outer() == 3)
assert(select(2, coroutine.resume(coroutine.create(function()
  return select(2, pcall(function() coroutine.yield "from inside pcall" end))
end))) == "from inside pcall")

-- text is compiled, bytecode is not, whatever the door
local bytes = string.dump(function() return 1 end)
local text_path, byte_path = write("text.lua", "return 7, ..."), write("bytes.lua", bytes)
assert(load("return 1 + 1")() == 2 and load(function() return nil end))
assert(load("return x", "chunk", "t", { x = 5 })() == 5 and load("return x", "chunk", nil, { x = 6 })() == 6)
refused("unexpected symbol", load("return ="))
refused("binary chunk", load(bytes))
refused("bytecode", load(bytes, "chunk", "b"))
refused("binary chunk", load(bytes, "chunk", "bt"))
assert(loadfile(text_path)() == 7 and loadfile(text_path, "t", { x = 1 })() == 7)
refused(".", loadfile(byte_path))
refused("bytecode", loadfile(byte_path, "b"))
refused("bytecode", loadfile(text_path, "b"))
refused("cannot open", loadfile(folder .. "/nothing.lua"))
assert(dofile(text_path) == 7)
refused(".", pcall(dofile, byte_path))
refused("cannot open", pcall(dofile, folder .. "/nothing.lua"))
package.path = folder .. "/?.lua"
assert(require "text" == 7)
refused("error loading module 'bytes'", pcall(require, "bytes"))
refused("module 'nothing' not found", pcall(require, "nothing"))

-- the process is everybody's
refused("portico.stop", pcall(os.exit, 1))
if package.config:sub(1, 1) == "/" then -- there is a shell with such an exit
  assert(os.execute() and os.execute("exit 3") == nil and select(3, os.execute("exit 3")) == 3)
end
assert(debug == nil or debug.sethook == nil)

-- a misspelt name says what was meant
local function listen(handlers) return pcall(portico.listen, "tcp://127.0.0.1:0", handlers) end
refused("unknown handler or option 'on_dta' %(did you mean 'on_data'%?%)", listen { on_dta = print })
refused("did you mean 'on_data'", listen { on_datas = print })
refused("did you mean 'nodelay'", listen { nodelya = true })
refused("did you mean 'send_high'", listen { sendhigh = 1 })
refused("unknown handler or option 'zzzzzzzzz'%)$", listen { zzzzzzzzz = 1 })
refused("bad argument #2 to '[%a.]*listen' %(unknown handler or option %(a number%)%)", listen { print })
refused("unknown handler or option 'two%?lines'", listen { ["two\nlines"] = 1 })
refused("zero byte", listen { ["on_data\0"] = print })
refused("zero byte", pcall(portico.listen, "tcp://127.0.0.1:0\0", {}))
refused("zero byte", pcall(portico.connect, "tcp://127.0.0.1:1\0", {}))
refused("backlog", listen { backlog = "many" })
refused("send_high.* greater than .*send_limit", listen { send_high = 2000, send_limit = 1000 })
for _, options in ipairs { { backlog = 5 }, { nodelay = false }, { recv_pause = false }, { recv_max = 10 } } do
  assert(assert(portico.listen("tcp://127.0.0.1:0", options)):close())
end
portico.stop(0)
