---@meta
-- Types for portico.simulation, which portico.sim is made of: a program in a simulated network, turned by hand. For
-- test runners; tests use portico.sim. For a main chunk only. This file is never run.

---@class portico.simulation
local simulation = {}

---@class portico.simulation.Options
---@field seed? integer decides every order, delay, loss and error, default 0
---@field rates? table<string, number> how often things go wrong: portico.sim.Faults, and drop, duplicate, reorder
---@field buffer? integer bytes that a connection holds unread in each direction, default 65536
---@field delay_max? number seconds of the longest delay and the longest stall, default 0.001
---@field sockets_max? integer sockets at a time, default 1024

---Makes a network without a program.
---@param options portico.simulation.Options
---@return portico.Simulation? simulation
---@return string? message
---@return string? code
function simulation.open(options) end

---@class portico.Simulation a network, and a program in it
local Simulation = {}

---@class portico.simulation.Crew
---@field vms? integer Lua states that run the script, default 1
---@field workers? integer threads that run them, which have turns; default: the caller's does it all, in turn()

---Starts a script, after the end of the one before.
---@param path string
---@param args? string[]
---@param crew? portico.simulation.Crew
---@return true? started
---@return string? message
---@return string? code
function Simulation:load(path, args, crew) end

---As load.
---@param name string for messages
---@param text string
---@param args? string[]
---@param crew? portico.simulation.Crew
---@return true? started
---@return string? message
---@return string? code
function Simulation:load_text(name, text, args, crew) end

---One step of the program. If there is nothing to run, time passes until there is, until something arrives at a client,
---or for that many seconds; without a program, too.
---@param seconds? number default 0
---@return "ran"|"waited"|"ended"
function Simulation:turn(seconds) end

---Seconds of the simulated clock.
---@return number
function Simulation:now() end

---Sets how often things go wrong; what is not named stays.
---@param rates table<string, number>
function Simulation:rates(rates) end

---Where the program listens: URLs, each once.
---@return string[]
function Simulation:listening() end

---@class portico.simulation.Record
---@field level "debug"|"info"|"warn"|"error"
---@field vm integer 0 = none
---@field text string

---What was logged since the last call; also after the close.
---@return portico.simulation.Record[]
function Simulation:take_log() end

---Tells fn each thing that happens in the network, a line at a time, after the call in which it did; nil ends that.
---@param fn? fun(line: string)
function Simulation:trace(fn) end

---A text that is the same for two runs in which the same happened at the same times.
---@return string
function Simulation:hash() end

---Stops the program. What was left is to be 0.
---@return { sockets: integer, pending: integer }
function Simulation:close() end

---Begins to connect a client of the caller's to the program.
---@param host string
---@param port integer
---@return portico.simulation.Client? client
---@return string? message
---@return string? code
function Simulation:connect(host, port) end

---@class portico.simulation.Client a plain socket; nothing here waits
local Client = {}

---@return boolean? connected nil: it could not be
---@return string? message
---@return string? code
function Client:connected() end

---@param data string
---@return integer? taken bytes that there was room for
---@return string? message
---@return string? code
function Client:send(data) end

---@param max? integer
---@return string? data
---@return string? why "EAGAIN": nothing has come yet; "END"; else a message
---@return string? code
function Client:receive(max) end

---Ends this direction.
---@return true? done
---@return string? message
---@return string? code
function Client:finish() end

---@return true? done
---@return string? message
---@return string? code
function Client:close() end

---Closes it so that the program sees a reset.
---@return true? done
---@return string? message
---@return string? code
function Client:reset() end

return simulation
