-- Two clients of chat.lua, who talk to each other.
--   portico run --vms 1 tests/e2e/chatters.lua URL
local portico = require "portico"
local url = ...

local function join(answers)
  local heard = ""
  return assert(portico.connect(url, {
    on_data = function(conn, data)
      heard = heard .. data
      for text, answer in pairs(answers) do
        if heard:find(text, 1, true) then
          answers[text] = nil
          answer(conn)
        end
      end
    end,
  }))
end

join {
  ["you are guest 1"] = function()
    join {
      ["guest 1: how are you"] = function(conn) conn:send "fine\n" end,
      ["guest 1: good"] = function(conn) conn:close() end,
    }
  end,
  ["guest 2 comes"] = function(conn) conn:send "how are you\n" end,
  ["guest 2: fine"] = function(conn) conn:send "good\n" end,
  ["guest 2 goes"] = function(conn) conn:close() end,
}
