-- portico.sim: runs a handler in a simulated network, where time only passes when a test says so.
--
--   local sim = require "portico.sim"
--   local net = sim.load("echo.lua", { args = { "tcp://127.0.0.1:7000" } })
--   local client = net:connect()
--   client:send("hello")
--   client:expect("hello")
--
-- lua/README.md, "Testing a handler", tells it all. All times are seconds of the simulated clock.
local simulation = require "portico.simulation"
local capture = require "portico.testing.capture"
local diff = require "portico.testing.diff"
local failure = require "portico.testing.failure"

local sim = {}

-- What runs the tests tells us here where and how; see portico.testing.
---@class portico.sim.Context
---@field folder? string of the test file: paths are looked for there first
---@field seed? integer the only one to run, from --seed
---@field rerun? fun(seed: integer): string the command that runs the present test with only this seed
sim.context = {}

local PATIENCE = 10          -- seconds that a wait lasts if the test does not say
local TICK = 2e-9            -- a shorter time than the clock can tell from none: rounding may leave that much
local LOOK = 0.01            -- seconds after which a client looks for what may have arrived, see longest_wait
local TURNS_MAX = 100000     -- turns after the time is up: something goes round in circles
local LOG_SHOWN = 5          -- records of the log shown with a failure
local SETUP = 'require("portico.testing.capture").start() ' -- no new line: the numbers of the script's lines stay
local RANK = { debug = 1, info = 2, warn = 3, error = 4 }

local OPTIONS = { args = true, buffer = true, delay_max = true, faults = true, seed = true, sockets_max = true,
  vms = true, workers = true }

local open_nets = {} -- oldest first
local current_seed   -- inside sim.seeds

---@class portico.sim.Net a handler in a network of its own
local Net = {}
Net.__index = Net

---@class portico.sim.Client a connection of the test to the handler
local Client = {}
Client.__index = Client

-- Opening ------------------------------------------------------------------------------------------------------------

local function open(spec)
  local world, why = simulation.open {
    seed = spec.seed, buffer = spec.buffer, delay_max = spec.delay_max, sockets_max = spec.sockets_max,
  }
  if not world then failure.raise("cannot open a simulated network: " .. why) end
  local net = setmetatable({ world = world, spec = spec, records = {}, printed = {} }, Net)
  open_nets[#open_nets + 1] = net
  local crew = { vms = spec.vms, workers = spec.workers }
  local loaded, wrong = world:load_text(spec.name, SETUP .. spec.text, spec.args or {}, crew)
  if not loaded then failure.raise(("cannot load %s: %s"):format(spec.name, wrong)) end
  if spec.faults then net:faults(spec.faults) end
  net:settle()
  return net
end

local function open_script(name, text, options)
  local spec = { name = name, text = text:gsub("^#[^\n]*", "") }
  for key, value in pairs(options or {}) do
    if not OPTIONS[key] then
      failure.raise(("unknown option %s (args, buffer, delay_max, faults, seed, sockets_max, vms or workers)"):format(
        key))
    end
    spec[key] = value
  end
  spec.seed = spec.seed or current_seed or sim.context.seed or 1
  return open(spec)
end

local function open_file(path)
  local absolute = path:find "^[/\\]" or path:find "^%a:"
  local folder = sim.context.folder
  local beside = folder and not absolute and io.open(folder .. "/" .. path, "rb")
  if beside then return beside, folder .. "/" .. path end
  local file, why = io.open(path, "rb")
  if not file then
    failure.raise(("cannot read the handler %s%s"):format(why, folder and " (nor in " .. folder .. ")" or ""))
  end
  return file, path
end

---Runs a script in a network of its own.
---@param path string looked for beside the test file, then in the current folder
---@param options? portico.sim.Options
---@return portico.sim.Net
function sim.load(path, options)
  local file, found = open_file(path)
  local text = file:read "a"
  file:close()
  return open_script(found, text, options)
end

---As sim.load, from a string.
---@param text string
---@param options? portico.sim.Options
---@return portico.sim.Net
function sim.load_text(text, options) return open_script("handler.lua", text, options) end

-- Time ---------------------------------------------------------------------------------------------------------------

-- Takes what the handlers have logged and printed out of the world.
local function collect(net)
  for _, record in ipairs(net.world:take_log()) do
    local name, bytes = capture.read(record.text)
    if name then
      net.printed[name] = (net.printed[name] or "") .. bytes
    else
      net.records[#net.records + 1] = record
    end
  end
end

-- In a network without faults nothing reaches a client unless the program has run. With them things are on their way,
-- or there is news that the client is not told of at once: so it has to look again and again.
local function longest_wait(net)
  for _, rate in pairs(net.spec.faults or {}) do
    if rate > 0 then return LOOK end
  end
  return math.huge
end

-- Turns until ready() says anything but nil, or until `seconds` have passed and all that was due then has run.
local function turn_until(net, seconds, ready)
  local world, wait = net.world, longest_wait(net)
  local deadline, last, turns = world:now() + seconds, nil, 0
  while true do
    local answer = ready()
    if answer ~= nil then return answer end
    local now = world:now()
    local over = deadline - now < TICK
    turns = (over or now == last) and turns + 1 or 0
    if turns > TURNS_MAX then failure.raise(("no rest at %.6f s: there is always more to do"):format(now)) end
    local did = world:turn(over and 0 or math.min(deadline - now, wait))
    net.ended = did == "ended" -- time passes all the same: bytes may be on their way to a client
    if did ~= "ran" and over then return ready() end
    last = now
  end
end

local function nothing() return nil end

local function check_open(net)
  if net.closed then failure.raise "this network has been closed" end
end

---Lets time pass, and runs all that becomes due.
---@param seconds number
function Net:advance(seconds)
  check_open(self)
  turn_until(self, seconds, nothing)
end

---Runs until nothing is left to do right now. (What runs takes microseconds of the simulated time.)
function Net:settle() self:advance(0) end

---Lets time pass, and runs what becomes due, until ready() returns anything but nil.
---@param seconds number the longest time
---@param ready fun(): any
---@return any answer of ready; nil: the time is over
function Net:wait(seconds, ready)
  check_open(self)
  return turn_until(self, seconds, ready)
end

---The addresses that the handler listens on.
---@return string[]
function Net:listening()
  check_open(self)
  return self.world:listening()
end

---Seconds of the simulated clock.
---@return number
function Net:now() return self.world:now() end

---Sets how often things go wrong, from 0 (never, as at first) to 1; what is not named stays. See portico.sim.Faults.
---@param rates portico.sim.Faults
function Net:faults(rates)
  check_open(self)
  self.world:rates(rates)
  local all = {} -- for every_split, too
  for name, rate in pairs(self.spec.faults or {}) do all[name] = rate end
  for name, rate in pairs(rates) do all[name] = rate end
  self.spec.faults = all
end

---What the handlers logged so far: records with `level`, `vm` and `text`.
---@param level? "debug"|"info"|"warn"|"error" only from this one on
---@return table[]
function Net:logs(level)
  if not self.closed then collect(self) end
  local found = {}
  for _, record in ipairs(self.records) do
    if RANK[record.level] >= RANK[level or "debug"] then found[#found + 1] = record end
  end
  return found
end

---What the handlers printed so far.
---@param stream? "stdout"|"stderr" default "stdout"
---@return string
function Net:output(stream)
  if not self.closed then collect(self) end
  return self.printed[stream or "stdout"] or ""
end

---Tells a function each thing that happens in the network, a line at a time; nil ends that.
---@param fn? fun(line: string)
function Net:trace(fn)
  check_open(self)
  self.world:trace(fn)
end

---A text that is the same for two runs in which the same happened at the same times.
---@return string
function Net:hash()
  check_open(self)
  return self.world:hash()
end

-- The last warnings and errors of the handlers, to be added to a failure.
local function log_note(net)
  local records, lines = net:logs "warn", {}
  for i = math.max(1, #records - LOG_SHOWN + 1), #records do
    lines[#lines + 1] = ("\nlog of the handler: %s: %s"):format(records[i].level, records[i].text)
  end
  return table.concat(lines)
end

-- Clients ------------------------------------------------------------------------------------------------------------

local function only_listener(net)
  local urls = net.world:listening()
  if #urls == 1 then return urls[1] end
  local what = #urls == 0 and "the handler listens nowhere" or "the handler listens on " .. table.concat(urls, ", ")
  failure.raise("connect: " .. what .. (#urls == 0 and log_note(net) or ": say which"))
end

-- A server that listens on every address is reached on the machine's own.
local function read_url(url)
  local host, port = url:match "^tcp://%[(.-)%]:(%d+)$"
  if not host then host, port = url:match "^tcp://([^:]+):(%d+)$" end
  if not host then failure.raise(("connect: %s is no tcp://HOST:PORT"):format(url)) end
  local own = { ["0.0.0.0"] = "127.0.0.1", ["::"] = "::1" }
  return own[host] or host, math.tointeger(tonumber(port))
end

---Connects a client of the test to the handler, and waits until the connection is there.
---@param url? string default: the only address that the handler listens on
---@return portico.sim.Client
function Net:connect(url)
  check_open(self)
  url = url or only_listener(self)
  local raw, why = self.world:connect(read_url(url))
  if not raw then failure.raise(("cannot connect to %s: %s"):format(url, why)) end
  local client = setmetatable({ net = self, raw = raw, inbox = "", sent = 0 }, Client)
  local ready = turn_until(self, PATIENCE, function()
    local connected, problem = raw:connected()
    if connected == nil then why = problem or "unknown reason" end
    return connected or connected == nil and "failed" or nil
  end)
  if ready ~= true then
    why = ready and why or ("no answer for %g s"):format(PATIENCE)
    failure.raise(("cannot connect to %s: %s%s"):format(url, why, log_note(self)))
  end
  return client
end

local function check_usable(client)
  if client.closed then failure.raise "this client has been closed" end
  check_open(client.net)
end

-- Takes in what has arrived: bytes, the end, a failure.
local function pull(client)
  while not client.ended and not client.problem do
    local bytes, why, code = client.raw:receive()
    if bytes then
      client.inbox = client.inbox .. bytes
    elseif why == "END" then
      client.ended = true
    elseif why == "EAGAIN" then
      return
    else
      client.problem, client.code = why, code
    end
  end
end

-- Hands bytes to the simulated kernel, turning while it has no room. What comes meanwhile is taken in: the handler may
-- wait for that.
local function push(client, data)
  local at, why = 1, nil
  while at <= #data do
    local before = at
    turn_until(client.net, PATIENCE, function()
      pull(client)
      local taken, problem = client.raw:send(data:sub(at))
      if not taken then why = problem end
      if taken then at = at + taken end
      return (why or at > before) and true or nil
    end)
    if why then failure.raise(("cannot send: %s%s"):format(why, log_note(client.net))) end
    if at == before then
      failure.raise(("cannot send: the handler has read nothing for %g s; %d of %d bytes have gone%s"):format(PATIENCE,
        at - 1, #data, log_note(client.net)))
    end
  end
  client.sent = client.sent + #data
end

---Sends all the bytes. Time passes only while the handler reads too slowly.
---@param ... string
function Client:send(...)
  check_usable(self)
  for i = 1, select("#", ...) do
    local kind = type((select(i, ...)))
    if kind ~= "string" and kind ~= "number" then failure.raise(("send: argument %d is a %s"):format(i, kind)) end
  end
  local data = table.concat { ... }
  if self.recorded then self.recorded[#self.recorded + 1] = data end
  local first = self.cut and self.cut - self.sent -- bytes of this piece in front of the cut
  if first and first > 0 and first <= #data then
    push(self, data:sub(1, first))
    self.net:settle()
    data = data:sub(first + 1)
  end
  push(self, data)
end

-- How it ended, in words; or why nothing more came.
local function ending(client, seconds)
  if client.ended then return "the handler ended the stream" end
  if client.problem then return client.problem end
  if client.net.ended then return "the program of the handler has ended" end
  return ("%g s have passed"):format(seconds)
end

local function take(client, count)
  local taken = client.inbox:sub(1, count)
  client.inbox = client.inbox:sub(count + 1)
  return taken
end

local function expect_bytes(client, wanted, seconds)
  local good = turn_until(client.net, seconds, function()
    pull(client)
    local received = client.inbox
    if #received >= #wanted then return received:sub(1, #wanted) == wanted end
    if received ~= wanted:sub(1, #received) or client.ended or client.problem then return false end
  end)
  if good then return take(client, #wanted) end
  local short = client.inbox == wanted:sub(1, #client.inbox)
  if not short then client.net:settle() pull(client) end -- the rest of it helps to see what is wrong
  failure.raise(("expect: %s\n%s%s"):format(
    short and "not all bytes came: " .. ending(client, seconds) or "other bytes came",
    diff.bytes(wanted, client.inbox), log_note(client.net)))
end

local function expect_pattern(client, pattern, seconds)
  local found
  turn_until(client.net, seconds, function()
    pull(client)
    found = table.pack(client.inbox:find("^" .. pattern))
    return (found[1] or client.ended or client.problem) and true or nil
  end)
  if not found[1] then
    failure.raise(("expect: no match: %s\npattern:  %s\nreceived: %s%s"):format(ending(client, seconds),
      diff.show(pattern), diff.show(client.inbox), log_note(client.net)))
  end
  local taken = take(client, found[2])
  if found.n == 2 then return taken end
  return table.unpack(found, 3, found.n)
end

---Waits until these very bytes have arrived, and takes them. What comes behind them stays for the next call.
---@param wanted string|{pattern: string} bytes, or a Lua pattern that what arrived must begin with
---@param seconds? number default 10
---@return string ... the bytes, or the captures of the pattern
function Client:expect(wanted, seconds)
  check_usable(self)
  local pattern = type(wanted) == "table" and wanted.pattern
  if pattern then return expect_pattern(self, pattern, seconds or PATIENCE) end
  if type(wanted) ~= "string" then failure.raise "expect: give a string, or { pattern = STRING }" end
  return expect_bytes(self, wanted, seconds or PATIENCE)
end

-- Waits for the end of the stream; fails unless it is of the kind that `is_right` accepts.
local function expect_ending(client, what, seconds, is_right)
  turn_until(client.net, seconds, function()
    pull(client)
    return (client.inbox ~= "" or client.ended or client.problem) and true or nil
  end)
  if client.inbox == "" and is_right(client) then return end
  local came = client.inbox ~= "" and "bytes came: " .. diff.show(client.inbox) or ending(client, seconds)
  failure.raise(("%s: %s%s"):format(what, came, log_note(client.net)))
end

---Waits for the end of what the handler sends; bytes before it are a failure.
---@param seconds? number default 10
function Client:expect_end(seconds)
  check_usable(self)
  expect_ending(self, "expect_end", seconds or PATIENCE, function() return self.ended end)
end

---Waits until the handler has reset the connection (or it was reset because the handler failed).
---@param seconds? number default 10
function Client:expect_reset(seconds)
  check_usable(self)
  expect_ending(self, "expect_reset", seconds or PATIENCE, function() return self.code == "ECONNRESET" end)
end

---Lets time pass; fails if bytes or an end come meanwhile.
---@param seconds number
function Client:expect_nothing(seconds)
  check_usable(self)
  turn_until(self.net, seconds, function()
    pull(self)
    return (self.inbox ~= "" or self.ended or self.problem) and true or nil
  end)
  if self.inbox == "" and not self.ended and not self.problem then return end
  local came = self.inbox ~= "" and "bytes came: " .. diff.show(self.inbox) or ending(self, seconds)
  failure.raise(("expect_nothing: %s%s"):format(came, log_note(self.net)))
end

---Takes all that has arrived by now.
---@return string? bytes "" if there are none; nil after the end
---@return string? err
---@return string? code "END", or that of the failure
function Client:receive()
  check_usable(self)
  self.net:settle()
  return self:poll()
end

---As receive, but nothing runs first: for use in net:wait.
function Client:poll()
  check_usable(self)
  pull(self)
  if self.inbox ~= "" then return take(self, #self.inbox) end
  if self.ended then return nil, "the handler ended the stream", "END" end
  if self.problem then return nil, self.problem, self.code end
  return ""
end

---Ends our direction; the handler may go on sending.
function Client:finish()
  check_usable(self)
  self.raw:finish()
end

-- Leaves by the given way.
local function leave(client, how)
  if client.closed or client.net.closed then return end
  client.closed = true
  client.raw[how](client.raw)
end

---Closes the connection in order.
function Client:close() leave(self, "close") end

---Closes the connection so that the handler sees a reset.
function Client:reset() leave(self, "reset") end

-- Again and again ----------------------------------------------------------------------------------------------------

-- What stands around the boundary behind byte `at`.
local function boundary(data, at)
  local before, after = data:sub(math.max(1, at - 15), at), data:sub(at + 1, at + 16)
  return ('"%s" | "%s"'):format(diff.escape(before), diff.escape(after))
end

-- One run in a fresh net, with the stream cut behind byte `cut` (nil = nowhere). Returns what the client sent.
local function run_split(net, fn, cut, all)
  local mark, circumstances = sim.mark(), "every_split: in one piece: "
  if cut then
    circumstances = ("every_split: cut after byte %d of %d, %s: "):format(cut, #all, boundary(all, cut))
  end
  local recorded = {}
  local good, problem = failure.catch(function()
    local fresh = open(net.spec)
    local client = fresh:connect()
    client.cut, client.recorded = cut, recorded
    fn(client, fresh)
  end)
  local closed, left_over = failure.catch(sim.close_since, mark)
  if good and not closed then good, problem = false, left_over end
  if not good then failure.raise_again(problem, circumstances) end
  return table.concat(recorded)
end

---Calls fn(client, net) once as it is, and then once for each boundary between two bytes that the client sends: each
---time in a fresh network, and with the stream cut there, so that the handler gets two pieces.
---@param fn fun(client: portico.sim.Client, net: portico.sim.Net)
function Net:every_split(fn)
  check_open(self)
  local all = run_split(self, fn)
  if #all < 2 then failure.raise(("every_split: %d bytes were sent: there is nothing to cut"):format(#all)) end
  for cut = 1, #all - 1 do run_split(self, fn, cut, all) end
end

local function run_seed(seed, fn)
  local mark, outer = sim.mark(), current_seed
  current_seed = seed
  local good, problem = failure.catch(fn, seed)
  local closed, left_over = failure.catch(sim.close_since, mark)
  current_seed = outer
  if good and not closed then good, problem = false, left_over end
  if good then return end
  local rerun = sim.context.rerun and (" (only this one: %s)"):format(sim.context.rerun(seed)) or ""
  failure.raise_again(problem, ("with seed %d%s: "):format(seed, rerun))
end

---Calls fn(seed) for the seeds 1 to n; networks that it opens have that seed unless they say otherwise, and are closed
---after it. `portico test --seed N` calls it for that one only.
---@param n integer
---@param fn fun(seed: integer)
function sim.seeds(n, fn)
  local only = sim.context.seed
  for seed = only or 1, only or n do run_seed(seed, fn) end
end

-- The end ------------------------------------------------------------------------------------------------------------

---Ends the program and the network. Fails if sockets or operations of the program are left then.
function Net:close()
  if self.closed then return end
  self.closed = true
  for i, net in ipairs(open_nets) do
    if net == self then table.remove(open_nets, i) break end
  end
  local left = self.world:close()
  collect(self) -- what on_close said, too
  if left.sockets > 0 or left.pending > 0 then
    failure.raise(("left over at the end: %d sockets, %d operations"):format(left.sockets, left.pending))
  end
end

---How many networks are open: to be given to close_since.
---@return integer
function sim.mark() return #open_nets end

---Closes the networks that were opened since, newest first; raises the first failure when all are closed.
---@param mark integer
function sim.close_since(mark)
  local first
  while #open_nets > mark do
    local good, problem = failure.catch(Net.close, open_nets[#open_nets])
    if not good then first = first or problem end
  end
  if first then error(first, 0) end
end

return sim
