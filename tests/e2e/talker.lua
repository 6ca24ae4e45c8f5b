-- An echo that talks: writes its address to a file, and does what a message asks for before it sends it back.
--   "log N"    N records, of which each ends in " end"         "print N"   N lines on standard output
--   "all"      a word to the log, standard output and standard error
--   portico run tests/e2e/talker.lua FILE
local portico = require "portico"
local path = ...
local filler = ("x"):rep(200)

local function talk(data)
  local what, count = data:match("^(%a+) ?(%d*)")
  for i = 1, tonumber(count) or 0 do
    if what == "log" then portico.log("info", i, filler, "end") else print(i, filler, "end") end
  end
  if what ~= "all" then return end
  portico.log("warn", "to the log")
  print("to standard output")
  io.stderr:write("to standard error\n")
end

local listener = assert(portico.listen("tcp://127.0.0.1:0", {
  on_data = function(conn, data)
    talk(data)
    conn:send(data)
  end,
}))
if portico.vm.id == 1 then
  local file = assert(io.open(path, "w"))
  file:write("listening on ", listener.url, "\n")
  file:close()
end
