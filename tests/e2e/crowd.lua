-- Many clients of an echo server at once. Each sends its number and must get it back; the first HOLD of them stay to
-- the end and are asked again and again, the others leave when they have been served.
--   portico run tests/e2e/crowd.lua URL CLIENTS HOLD
local portico = require "portico"
local url, clients, hold = ..., tonumber(arg[2]), tonumber(arg[3])
local served, held, asking, over = 0, {}, false, false

local function done()
  over = true
  print(("served=%d held=%d"):format(served, #held))
  portico.stop(0)
end

-- One more round for those that stay: each must still be answered.
local function ask_again(left)
  local answers = 0
  asking = true
  for _, conn in ipairs(held) do
    conn.data.on_answer = function()
      answers = answers + 1
      if answers < #held then return end
      asking = left > 1
      if asking then ask_again(left - 1) elseif served == clients then done() end
    end
    conn:send(conn.data.text)
  end
end

local function on_first_answer(conn)
  served = served + 1
  if #held < hold then
    held[#held + 1] = conn
    if #held == hold then
      print("all places are taken")
      ask_again(20)
    end
  else
    conn:close()
  end
  if served == clients and not asking then ask_again(1) end
end

for i = 1, clients do
  local text = ("client %d;"):format(i)
  assert(portico.connect(url, {
    on_open = function(conn)
      conn.data = { text = text, on_answer = on_first_answer, got = "" }
      conn:send(text)
    end,
    on_data = function(conn, data)
      conn.data.got = conn.data.got .. data
      if #conn.data.got < #text then return end
      assert(conn.data.got == text, "a wrong answer")
      conn.data.got = ""
      conn.data.on_answer(conn)
    end,
    on_close = function(_, err, code)
      if over or not err then return end
      io.stderr:write(("client %d: %s %s\n"):format(i, err, code))
      portico.stop(1)
    end,
  }))
end
