-- Tests of send.lua:  portico test scripts
local sim = require "portico.sim"

local URL = "tcp://127.0.0.1:7000"

-- send is a client: the handler under test is a server that runs it, and logs what comes. What the server answers, and
-- how it ends, is up to the test.
local SERVER = [[
local portico = require "portico"
local ending, script = ...
local listener
listener = portico.listen("tcp://127.0.0.1:7000", {
  on_open = function() listener:close() end,
  on_data = function(conn, data)
    portico.log("info", data)
    if ending == "reset" then conn:abort() end
  end,
  on_end = function(conn) conn:send("the answer") conn:close() end,
})
assert(loadfile(script))(table.unpack({ ... }, 3))
]]

local function run(ending, args, options)
  options = options or {}
  options.args = { ending, sim.context.folder .. "/send.lua", table.unpack(args) }
  local net = sim.load_text(SERVER, options)
  net:advance(60)
  local received = {}
  for i, record in ipairs(net:logs "info") do received[i] = record.text end
  return net, table.concat(received)
end

describe("send", function()
  it("sends its text, and says when all of it has left", function()
    local net, received = run("close", { URL })
    assert.equal("this is a long test string\nabc\n", received)
    assert.matches("bytes=31/31\n$", net:output())
    assert.equal("", net:output "stderr")
  end)

  it("sends a message, and shows the answer", function()
    local net, received = run("close", { URL, "--message", "hello", "--receive", "-" })
    assert.equal("hello", received)
    assert.equal("the answer", net:output())
    assert.matches("bytes=5/5\n$", net:output "stderr")
  end)

  it("sends every byte through a bad network", function()
    local text = ("0123456789"):rep(1000)
    sim.seeds(10, function()
      local faults = { delay = 0.3, split = 0.5, short_send = 0.5, again = 0.2, spurious = 0.2 }
      local net, received = run("close", { URL, "--message", text }, { faults = faults, buffer = 2000 })
      assert.equal(text, received)
      assert.matches("bytes=10000/10000\n$", net:output())
    end)
  end)

  it("fails when the server resets the connection", function()
    local net = run("reset", { URL })
    assert.matches("^portico: send: cannot send all to tcp://127%.0%.0%.1:7000: connection reset",
      net:output "stderr")
  end)

  it("fails when nobody listens", function()
    local net = sim.load("send.lua", { args = { URL } })
    net:settle()
    assert.equal("portico: send: cannot connect to tcp://127.0.0.1:7000: connection refused\n", net:output "stderr")
  end)
end)
