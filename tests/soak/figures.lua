-- Asks each VM of the server for its figures, again and again until no connection is open and no timer pending.
-- Prints the sums: "open=0 opened=N closed=N pending=0 errors=N beats=N bytes=N". Exit code 1: not within 60 s.
--   portico run tests/soak/figures.lua CONTROL-URL...
local portico = require "portico"
local urls, patience = { ... }, 600

local function ask(on_answer)
  local sums, answers = {}, 0
  for _, url in ipairs(urls) do
    local text = ""
    assert(portico.connect(url, {
      on_open = function(conn) conn:send("figures\n") end,
      on_data = function(_, data) text = text .. data end,
      on_close = function(_, err)
        if err then error(url .. ": " .. err) end
        for key, value in text:gmatch("(%w+)=(%d+)") do sums[key] = (sums[key] or 0) + tonumber(value) end
        answers = answers + 1
        if answers == #urls then on_answer(sums) end
      end,
    }))
  end
end

local function look()
  ask(function(sums)
    patience = patience - 1
    if patience > 0 and sums.open + sums.pending > 0 then return portico.after(0.1, look) end
    local line = {}
    for _, key in ipairs { "open", "opened", "closed", "pending", "errors", "beats", "bytes" } do
      line[#line + 1] = key .. "=" .. sums[key]
    end
    print(table.concat(line, " "))
    portico.stop(patience > 0 and 0 or 1)
  end)
end
look()
