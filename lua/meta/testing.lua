---@meta
-- Types for test files: the words of portico.testing, which are global variables there, and the tables of portico.sim,
-- whose functions have their types in portico/sim.lua. This file is never run.

---@class portico.sim.Options
---@field args? string[] the script's arguments
---@field vms? integer Lua states that run it, default 1
---@field workers? integer threads that run them, which have turns: the seed decides whose it is. Default: only one
---@field seed? integer default: that of sim.seeds or of --seed, else 1
---@field faults? portico.sim.Faults from the moment that the script has been loaded
---@field buffer? integer bytes that a connection holds unread in each direction, default 65536
---@field delay_max? number seconds of the longest delay and the longest stall, default 0.001
---@field sockets_max? integer sockets at a time, default 1024

---How often things go wrong: 0 never, 1 always. The handler must bear the first eight without a difference to see.
---@class portico.sim.Faults
---@field delay? number bytes, connections and room to send arrive later
---@field split? number bytes sent in one call arrive in parts
---@field short_send? number the kernel takes fewer bytes than it has room for
---@field again? number a socket has nothing to say just now, although it has
---@field spurious? number a socket is announced without a reason
---@field shuffle? number announcements come in another order
---@field stall? number the program stands still for a while
---@field preempt? number with workers: another one has a turn
---@field reset? number a connection breaks
---@field refuse? number a connect is refused although somebody listens
---@field descriptors? number there is no descriptor for a new socket (EMFILE)
---@field buffers? number the same, no buffers (ENOBUFS)
---@field memory? number the same, no memory (ENOMEM)

---Groups tests; its name stands in front of theirs.
---@param name string
---@param fn fun()
function describe(name, fn) end

---A test. Without a function it is pending.
---@param name string
---@param fn? fun()
function it(name, fn) end

---A test that nobody has written; inside a test: the rest of it is left out.
---@param name string
function pending(name) end

---Runs before each test of the group, and of the groups in it.
---@param fn fun()
function before_each(fn) end

---Runs after each test, whether it has passed or not.
---@param fn fun()
function after_each(fn) end

---Runs once before the tests of the group.
---@param fn fun()
function setup(fn) end

---Runs once after them.
---@param fn fun()
function teardown(fn) end
