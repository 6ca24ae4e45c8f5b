-- Tests of echo.lua:  portico test scripts
local sim = require "portico.sim"

local URL = "tcp://127.0.0.1:7000"

-- All values of a byte, in an order that does not repeat soon.
local function all_bytes(count)
  local bytes = {}
  for i = 1, count do bytes[i] = string.char((i * 167 + i // 256) % 256) end
  return table.concat(bytes)
end

describe("echo", function()
  it("says where it listens, once", function()
    local net = sim.load("echo.lua", { args = { URL }, vms = 2 })
    assert.equal("listening on " .. URL .. "\n", net:output "stderr")
  end)

  it("sends back what it receives, however it is cut", function()
    local net = sim.load("echo.lua", { args = { URL } })
    net:every_split(function(client)
      client:send("this is a long\0 test\r\n")
      client:expect("this is a long\0 test\r\n")
    end)
  end)

  it("answers first and ends then, when the peer has finished", function()
    local client = sim.load("echo.lua", { args = { URL } }):connect()
    client:send("the last words")
    client:finish()
    client:expect("the last words")
    client:expect_end()
  end)

  it("says nothing by itself", function()
    local client = sim.load("echo.lua", { args = { URL } }):connect()
    client:expect_nothing(3600)
  end)

  it("keeps connections apart", function()
    local net = sim.load("echo.lua", { args = { URL }, vms = 3 })
    local clients = {}
    for i = 1, 20 do clients[i] = net:connect() end
    for i, client in ipairs(clients) do client:send("I am ", i) end
    for i, client in ipairs(clients) do client:expect("I am " .. i) end
    clients[1]:reset()
    clients[2]:send("still there")
    clients[2]:expect("still there")
  end)

  it("loses nothing in a bad network", function()
    local data = all_bytes(20000)
    sim.seeds(25, function()
      local net = sim.load("echo.lua", { args = { URL }, delay_max = 0.1, buffer = 3000, faults = {
        delay = 0.3, split = 0.5, short_send = 0.5, again = 0.2, spurious = 0.2, shuffle = 0.5, stall = 0.1,
      } })
      local client = net:connect()
      client:send(data)
      client:finish()
      client:expect(data, 600)
      client:expect_end(600)
    end)
  end)

  it("refuses options that make no sense", function()
    local net = sim.load("echo.lua", { args = { "--raw" } })
    assert.matches("unknown option %-%-raw", net:output "stderr")
    assert.error_matches(function() net:connect() end, "listens nowhere")
  end)
end)
