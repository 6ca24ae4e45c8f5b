-- All VMs listen on many addresses at the same moment, the same in the same order: each must get its share of each.
-- Ends with 0 when all have, with 1 as soon as one has not.
--   portico run tests/e2e/listeners.lua
local portico = require "portico"
local done = 0
local control = assert(portico.listen("tcp://127.0.0.1:0", { on_open = function() done = done + 1 end }))

-- Only the first VM counts: the others leave.
if portico.vm.id > 1 then control:close() end

local function listen_on_all()
  for round = 1, 100 do
    local url = ("tcp://127.77.%d.1:%d"):format(round, 23232)
    local listener, message = portico.listen(url, {})
    if not listener then
      io.stderr:write(("round %d: %s\n"):format(round, message))
      return portico.stop(1)
    end
  end
  portico.connect(control.url, {
    on_open = function()
      if portico.vm.id > 1 then return end
      portico.every(0.01, function() if done == portico.vm.count then portico.stop(0) end end)
    end,
  })
end
local beat = 0.25 -- the moment that all of them agree on
portico.after(beat - portico.now() % beat + beat, listen_on_all)
