-- Tests of print.lua:  portico test scripts
local sim = require "portico.sim"

local URL = "tcp://127.0.0.1:7000"
local BAR = ("="):rep(36) .. "\n"

-- What print shows for one piece of data.
local function piece(shown, bytes, total)
  return ("%s%s\n%sbytes=%d, total=%d\n"):format(BAR, shown, BAR, bytes, total)
end

-- Loads print, and returns the net, a client and a function that gives what was printed about it since the last call.
local function start(...)
  local net = sim.load("print.lua", { args = { URL, ... } })
  local client, seen = net:connect(), 0
  local function printed()
    net:settle()
    local text = net:output():sub(seen + 1)
    seen = seen + #text
    return (text:gsub("tcp://127%.0%.0%.1:%d+", "PEER"))
  end
  return net, client, printed
end

describe("print", function()
  it("shows each piece between bars, with its length and the sum", function()
    local _, client, printed = start()
    assert.equal("connected: PEER\n", printed())
    client:send("abc")
    assert.equal(piece("abc", 3, 3), printed())
    client:send("defg\n")
    assert.equal(piece("defg\n", 5, 8), printed())
  end)

  it("never answers", function()
    local _, client = start()
    client:send("is anybody there?")
    client:expect_nothing(60)
  end)

  it("tells of an end in order, and of a reset", function()
    local net, client, printed = start()
    client:send("abc")
    client:finish()
    assert.matches("closed: PEER, total=3\n$", printed())
    client:expect_end()
    net:connect():reset()
    assert.matches("closed: PEER, total=0, connection reset by the peer\n$", printed())
  end)

  it("keeps control bytes away from the terminal, and lets UTF-8 pass", function()
    local _, client, printed = start()
    printed()
    client:send("\27[31m\0 Grüße\t\xff\xc2\x9b")
    assert.equal(piece("\\x1b[31m\\x00 Grüße\t\\xff\\xc2\\x9b", 18, 18), printed())
  end)

  it("shows bytes as they are with --raw", function()
    local _, client, printed = start("--raw")
    printed()
    client:send("\27[31m\0\xff")
    assert.equal(piece("\27[31m\0\xff", 7, 7), printed())
  end)

  it("counts every byte, however the stream is cut", function()
    local net = sim.load("print.lua", { args = { URL } })
    net:every_split(function(client, fresh)
      client:send("hello")
      client:finish()
      client:expect_end()
      fresh:settle()
      assert.matches("total=5\nclosed: [^\n]*, total=5\n$", fresh:output())
    end)
  end)
end)
