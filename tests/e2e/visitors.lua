-- Clients of an echo server that leave in all ways: pieces one by one, several at once, a half-close, a reset.
--   portico run tests/e2e/visitors.lua URL
local portico = require "portico"
local url = ...

local PIECES = { "hello\n", "world", "\0\1\2\n", ("long "):rep(20000), "x" }

-- Sends the pieces, each when the one before has come back; then leaves.
local function visit(pieces, leave)
  local at, missing = 0, 0
  local function next_piece(conn)
    at = at + 1
    if not pieces[at] then return leave(conn) end
    missing = #pieces[at]
    conn:send(pieces[at])
  end
  assert(portico.connect(url, {
    on_open = next_piece,
    on_data = function(conn, data)
      missing = missing - #data
      if missing == 0 then next_piece(conn) end
    end,
  }))
end

visit(PIECES, function(conn) conn:shutdown() end)
visit(PIECES, function(conn) conn:close() end)
visit({ "reset me" }, function(conn) conn:abort() end)
visit({}, function(conn) conn:shutdown() end)
visit({ table.concat(PIECES, "|"):rep(5) }, function(conn) conn:shutdown() end)
