-- ping_cuts.lua URL: sends requests to tests/bench/ping.lua, each cut at every byte, and compares the answers.
-- The first part goes behind a PING, and the second after its PONG: so the server has met the cut.
local portico = require "portico"
local url = ...

local PING, PONG = "*1\r\n$4\r\nPING\r\n", "+PONG\r\n"
local CASES = {
  { PING, PONG },
  { PING:rep(3), PONG:rep(3) },
  { "PING\r\n", PONG },
  { "ping you\n", "$3\r\nyou\r\n" },
  { "*2\r\n$4\r\nPiNg\r\n$2\r\n\r\n\r\n" .. PING, "$2\r\n\r\n\r\n" .. PONG },
  { "*0\r\n\r\n*-1\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0\r\n\r\n" },
  { "*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$4\r\nsave\r\nCOMMAND\r\n", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n*0\r\n" },
  { "*1\r\n$3\r\nNO!\r\n" .. PING, "-ERR unknown command 'NO!'\r\n" .. PONG },
}

local waiting = 0
local function try(request, expected, cut)
  local got, cut_met = "", false
  expected = PONG .. expected
  waiting = waiting + 1
  portico.connect(url, {
    on_open = function(conn) conn:send(PING, request:sub(1, cut)) end,
    on_data = function(conn, data)
      got = got .. data
      if not cut_met and #got >= #PONG then
        cut_met = true
        conn:send(request:sub(cut + 1))
      end
      if #got >= #expected then conn:close() end
    end,
    on_close = function()
      waiting = waiting - 1
      if got ~= expected then
        print(("%q cut at %d: %q"):format(request, cut, got))
        portico.stop(1)
      elseif waiting == 0 then
        print "all cuts"
      end
    end,
  })
end

for _, case in ipairs(CASES) do
  for cut = 0, #case[1] - 1 do try(case[1], case[2], cut) end
end
