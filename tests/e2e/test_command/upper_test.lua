-- Passes: what portico.sim and the words of a test promise, case by case.
local sim = require "portico.sim"
local helper = require "helper" -- beside this file

-- Answers lines in capitals. "boom" raises an error, "quit" closes, "reset" aborts, "later" answers after 5 s.
local UPPER = [[
local portico = require "portico"
local buffers = {}
portico.listen("tcp://127.0.0.1:7000", {
  on_open = function(conn) conn.rest = "" end,
  on_data = function(conn, data)
    conn.rest = conn.rest .. data
    while true do
      local line, rest = conn.rest:match "^([^\n]*)\n(.*)$"
      if not line then return end
      conn.rest = rest
      print("line", line)
      if line == "boom" then error "as you wish" end
      if line == "quit" then return conn:close() end
      if line == "reset" then return conn:abort() end
      if line == "later" then portico.after(5, conn.send, conn, "NOW\n") else conn:send(line:upper(), "\n") end
    end
  end,
})
]]

describe("a net", function()
  local net, order
  setup(function() order = {} end)
  before_each(function()
    net = sim.load_text(UPPER)
    order[#order + 1] = "before"
  end)
  after_each(function() order[#order + 1] = "after" end)
  teardown(function() assert.equal(#order % 2, 0) end)

  it("gives the handler pieces at every boundary", function()
    net:every_split(function(client)
      client:send("ab\nc")
      client:send("d\n")
      client:expect("AB\nCD\n")
    end)
    local pieces = sim.load_text [[
      require("portico").listen("tcp://127.0.0.1:7000", { on_data = function(_, data) print(data) end })]]
    local seen = {}
    pieces:every_split(function(client, fresh)
      client:send("abc")
      fresh:settle()
      seen[#seen + 1] = fresh:output()
    end)
    assert.same({ "abc\n", "a\nbc\n", "ab\nc\n" }, seen)
  end)

  it("runs hooks around each test", function() assert.same({ "before", "after", "before" }, order) end)

  it("lets time pass only when asked", function()
    local client = net:connect()
    local start = net:now()
    client:send("later\n")
    client:expect_nothing(4.9)
    net:advance(0.2)
    client:expect("NOW\n", 0)
    assert.near(start + 5.1, net:now(), 0.001)
  end)

  it("takes a pattern, and gives its captures", function()
    local client = net:connect()
    client:send("key=12\nrest\n")
    assert.equal("12", client:expect { pattern = "KEY=(%d+)\n" })
    assert.equal("REST\n", client:receive())
    assert.equal("", client:receive())
  end)

  it("knows an end from a reset, and an error of the handler", function()
    local quits, resets, fails = net:connect(), net:connect("tcp://127.0.0.1:7000"), net:connect()
    quits:send("quit\n")
    quits:expect_end()
    assert.same({ nil, "the handler ended the stream", "END" }, { quits:receive() })
    resets:send("reset\n")
    resets:expect_reset()
    fails:send("boom\n")
    fails:expect_reset()
    assert.equal(1, #net:logs "error")
    assert.matches("as you wish", net:logs("error")[1].text)
  end)

  it("keeps what the handler prints", function()
    net:connect():send("hello%\0\n")
    net:settle()
    assert.equal("line\thello%\0\n", net:output())
  end)

  it("refuses what makes no sense", function()
    local client = net:connect()
    local function refused(pattern, fn) assert.error_matches(fn, "^[^:]*upper_test%.lua:%d+: " .. pattern) end
    refused("unknown option arg ", function() sim.load_text(UPPER, { arg = {} }) end)
    refused("cannot read the handler .*none%.lua", function() sim.load "none.lua" end)
    refused("cannot load handler%.lua: handler%.lua:1: .*near", function() sim.load_text "not Lua" end)
    refused("cannot load handler%.lua: handler%.lua:2: oh", function() sim.load_text "\nerror 'oh'" end)
    refused("send: argument 2 is a nil", function() client:send("a", nil, "b") end)
    refused("expect: give a string", function() client:expect(5) end)
    refused("connect: the handler listens nowhere", function() sim.load_text(""):connect() end)
    refused("cannot connect to tcp://127%.0%.0%.1:1: .*refused", function() net:connect "tcp://127.0.0.1:1" end)
    assert.error_matches(function() net:faults { delays = 1 } end, "unknown option 'delays'")
    client:close()
    refused("this client has been closed", function() client:send("a") end)
    net:close()
    refused("this network has been closed", function() net:settle() end)
  end)

  it("says so if there is always more to do", function()
    local busy = [[
      local portico = require "portico"
      local function again() portico.after(0, again) end
      again()]]
    assert.error_matches(function() sim.load_text(busy) end, "no rest at [%d.]+ s: there is always more to do")
  end)

  it("is the same for the same seed", function()
    local hashes = {}
    for i = 1, 2 do
      local one = sim.load_text(UPPER, { seed = 7, faults = { delay = 0.5, split = 0.5 } })
      local client = one:connect()
      client:send("one\ntwo\n")
      client:expect("ONE\nTWO\n", 100)
      hashes[i] = one:hash()
    end
    assert.equal(hashes[1], hashes[2])
  end)
end)

describe("assert", function()
  it("is Lua's own as well", function()
    assert.equal(2, select("#", assert(1, 2)))
    assert.has_error(function() assert(nil, "so") end, "so")
    assert.has_error(function() assert(false) end, "assertion failed!")
  end)

  it("compares tables by what is in them", function()
    assert.same({ 1, { a = "x" } }, { 1, { a = "x" } })
    assert.not_same({ 1 }, { 1, 2 })
    local function differ() assert.same({ a = { 1, 2 } }, { a = { 1, 3 } }) end
    assert.error_matches(differ, "at %.a%[2%]\n  expected: 2\n  received: 3$")
    local cycle, other = {}, {}
    cycle.me, other.me = cycle, other
    assert.same(cycle, other)
  end)
end)

it("has modules beside the file", function() assert.equal("helped", helper) end)
pending "a test that nobody has written"
