-- portico.replay: what `portico replay` runs: feeds a handler in a simulated network with what recorded connections
-- have received, at the same times, and compares what it sends. lua/README.md tells what for; src/cli/replay.c finds
-- the files and calls main.
local portico = require "portico"
local diff = require "portico.testing.diff"
local failure = require "portico.testing.failure"
local recording = require "portico.recording"
local report = require "portico.testing.report"
local sim = require "portico.sim"

local replay = {}

local PATIENCE = 10            -- simulated seconds for what is missing at the end
local SOCKETS_SPARE = 1000     -- for what the script itself opens, beside two for each connection
local NS = 1e9
local LOG_SHOWN = 20           -- records

-- Why a connection was closed by ourselves: nothing that a peer could do again.
local OWN_CODES = { ESCRIPT = true, ECANCELED = true, ELIMIT = true, ENOMEM = true }

local ENDINGS = { open = "left the stream open", ["end"] = "ended the stream", reset = "reset the connection" }
local DEEDS = { received = "sent all", ["received-end"] = "finished", closed = "gone" }

---@class portico.replay.Player a recorded connection, and what becomes of it
---@field path string
---@field recording portico.Recording
---@field expected string all that was sent
---@field least integer so many bytes have to come, at least; more than `expected` never
---@field open_ended boolean what was sent behind `expected` is not known
---@field ending "open"|"end"|"reset"|"any" how the handler left the stream
---@field client? portico.sim.Client
---@field pieces string[] that came
---@field size integer of them
---@field seen? "end"|"reset" how it ended
---@field problem? string

-- What was recorded ------------------------------------------------------------------------------------------------

-- Notes in the player what is to be expected. The bytes of a turn in which the handler has aborted may not have left,
-- and nobody knows what a program that stops has still done.
local function expect(player)
  local sent, size, sure = {}, 0, 0
  for _, entry in ipairs(player.recording.entries) do
    local what = entry.what
    if what == "sent" then
      sent[#sent + 1], size = entry.data, size + #entry.data
    elseif what == "received" or what == "received-end" then
      sure = size
    elseif what == "shutdown" or what == "close" then
      player.ending = player.ending or "end"
    elseif what == "abort" or entry.code == "ESCRIPT" then
      player.ending = player.ending or "reset"
    elseif what == "lost" or entry.code == "ELIMIT" or entry.code == "ENOMEM" then
      player.open_ended, player.ending = true, "any"
    elseif entry.code == "ECANCELED" and player.ending ~= "reset" then
      player.ending = "any"
    end
    entry.ended = player.ending ~= nil
  end
  player.ending = player.ending or "open"
  player.expected = table.concat(sent)
  player.least = (player.ending == "open" or player.ending == "end" or player.open_ended) and size or sure
end

local function new_player(path, found)
  local player = { path = path, recording = found, pieces = {}, size = 0 }
  expect(player)
  return player
end

-- What a peer did, in the order of time: { at = ns, player =, entry = nil: it connected }.
local function events_of(players)
  local events = {}
  for _, player in ipairs(players) do
    local start = player.recording.start
    events[#events + 1] = { at = start, player = player, order = #events }
    for _, entry in ipairs(player.recording.entries) do
      if entry.what == "received" or entry.what == "received-end" or entry.what == "closed" then
        events[#events + 1] = { at = start + entry.at, player = player, entry = entry, order = #events }
      end
    end
  end
  table.sort(events, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return a.order < b.order
  end)
  return events
end

-- Doing it again -----------------------------------------------------------------------------------------------------

-- Where the script listens now: at the same URL, at the same port, or nowhere else.
local function find_listener(net, url)
  local urls, port = net:listening(), url:match ":%d+$"
  for _, one in ipairs(urls) do
    if one == url then return one end
  end
  for _, one in ipairs(urls) do
    if one:sub(-#port) == port then return one end
  end
  if #urls == 1 then return urls[1] end
  failure.raise(#urls == 0 and "the script listens nowhere"
    or ("the script listens on %s, but not on %s"):format(table.concat(urls, " and "), url))
end

-- Takes in what has come for one; false if nothing more can come. Who sends too much may never stop: such a client
-- leaves, and so does one that has all that can be compared.
local function take_in(player)
  local client = player.client
  if not client or client.closed or player.seen then return false end
  local bytes, _, code = client:poll()
  if not bytes then
    player.seen = code == "END" and "end" or "reset"
  else
    player.pieces[#player.pieces + 1], player.size = bytes, player.size + #bytes
    local over = player.size - #player.expected
    if over > 0 or over == 0 and player.open_ended then client:reset() end
  end
  return true
end

local function done(player)
  return not take_in(player) or player.problem
    or player.size == #player.expected and player.ending ~= "end" and player.ending ~= "reset"
end

local function feed(net, player, entry)
  if not entry then
    player.client = net:connect(find_listener(net, player.recording.url))
  elseif entry.what == "received" then
    player.client:send(entry.data)
  elseif entry.what == "received-end" then
    player.client:finish()
  else
    if not entry.code then player.client:finish() end
    if entry.code and not OWN_CODES[entry.code] then player.client:reset() end
  end
end

-- Feeds a network with all that the peers did, and waits for what is still to come.
local function play(net, players)
  local function all_in()
    for _, player in ipairs(players) do take_in(player) end
  end
  local events = events_of(players)
  local shift = net:now() - events[1].at / NS
  for _, event in ipairs(events) do
    local player, entry = event.player, event.entry
    net:wait(math.max(0, shift + event.at / NS - net:now()), all_in)
    if player.seen and not entry.ended and player.ending ~= "any" then
      player.problem = player.problem or ("the handler %s too early: by then the peer had not %s"):format(
        ENDINGS[player.seen], DEEDS[entry.what])
    elseif not player.problem and not (player.client and player.client.closed) then
      local good, problem = failure.catch(feed, net, player, entry)
      if not good then player.problem = problem.text end
      net:wait(0, all_in)
    end
  end
  net:wait(PATIENCE, function()
    for _, player in ipairs(players) do
      if not done(player) then return nil end
    end
    return true
  end)
end

-- Judging ------------------------------------------------------------------------------------------------------------

-- What differs, in words; nil if nothing does.
local function difference(player)
  local received, expected = table.concat(player.pieces), player.expected
  if player.open_ended then received = received:sub(1, #expected) end
  if received ~= expected:sub(1, #received) then
    return "other bytes were sent\n" .. diff.bytes(expected, received)
  end
  if player.problem then return player.problem end
  if #received < player.least then return "bytes are missing\n" .. diff.bytes(expected, received) end
  local ending = player.seen or "open"
  if player.ending == "any" or player.ending == "open" or ending == player.ending then return nil end
  return ("the handler %s, but in the recording it %s"):format(ENDINGS[ending], ENDINGS[player.ending])
end

local function say(...) io.stdout:write(...) end

local function say_log(net)
  local records = net:logs "warn"
  for i = math.max(1, #records - LOG_SHOWN + 1), #records do
    say(report.indented("     ", ("log of the handler: %s: %s"):format(records[i].level, records[i].text)))
  end
end

local function bytes_received(player)
  local size = 0
  for _, entry in ipairs(player.recording.entries) do
    if entry.what == "received" then size = size + #entry.data end
  end
  return size
end

-- Plays connections in one network, and says a line for each. Raises a failure if the script cannot be run.
local function run_session(run, players)
  local options = { args = run.args, sockets_max = 2 * #players + SOCKETS_SPARE }
  local mark = sim.mark()
  local net = run.text and sim.load_text(run.text, options) or sim.load(run.script, options)
  local good, problem = failure.catch(play, net, players)
  local closed, left_over = failure.catch(sim.close_since, mark)
  local different = false
  for _, player in ipairs(players) do
    local text = not good and problem.text or difference(player) or not closed and left_over.text
    different = different or text
    run.different = run.different + (text and 1 or 0)
    run.equal = run.equal + (text and 0 or 1)
    if text then
      local first, rest = text:match "^([^\n]*)\n?(.*)$"
      say(report.indented("", ("FAIL %s: %s"):format(player.path, first)))
      if rest ~= "" then say(report.indented("     ", rest)) end
    else
      say(("ok   %s: %d bytes received, %d sent\n"):format(player.path, bytes_received(player), player.size))
    end
  end
  if different then say_log(net) end
end

-- The command line ---------------------------------------------------------------------------------------------------

local function complain(text) io.stderr:write(report.indented("", "portico: replay: " .. text)) end

-- The words that src/cli/replay.c gives: "--name=value" for each option, "--", files, "--", the script's arguments.
local function read_words(...)
  local run = { files = {}, args = {}, equal = 0, different = 0, skipped = 0, unreadable = 0 }
  local part = 1
  for _, word in ipairs { ... } do
    if part < 3 and word == "--" then
      part = part + 1
    elseif part == 1 then
      local name, value = word:match "^%-%-(%w+)=(.*)$"
      run[name] = value
    else
      local list = part == 2 and run.files or run.args
      list[#list + 1] = word
    end
  end
  return run
end

-- The player of a file; nil, after a word about it, if there is nothing to play.
local function open_player(run, path)
  local found, why = recording.load(path)
  if not found then
    run.unreadable = run.unreadable + 1
    complain(why)
  elseif found.direction == "outgoing" then
    run.skipped = run.skipped + 1
    say(("skip %s: the script made this connection; only accepted ones can be fed\n"):format(path))
  else
    return new_player(path, found)
  end
end

local function run_files(run)
  local all = {}
  for _, path in ipairs(run.files) do
    local player = open_player(run, path)
    if player and run.together then
      all[#all + 1] = player
    elseif player then
      run_session(run, { player })
    end
  end
  if #all > 0 then run_session(run, all) end
end

---Replays recordings. The exit code of the program becomes 0 (all equal), 1 (one is different, or the script cannot be
---run) or 2 (one cannot be read, or there was nothing to replay).
---@param ... string "--name=value" for each option, "--", the files, "--", the script's arguments
function replay.main(...)
  local run = read_words(...)
  local start = portico.now()
  local good, problem = failure.catch(run_files, run)
  if not good then
    complain(problem.text)
    return portico.stop(1)
  end
  local total = run.equal + run.different + run.skipped + run.unreadable
  say(("# %d recordings: %d equal, %d different, %d skipped, %d unreadable; %.1f ms\n"):format(total, run.equal,
    run.different, run.skipped, run.unreadable, (portico.now() - start) * 1000))
  io.stdout:flush()
  if run.unreadable > 0 then return portico.stop(2) end
  if run.different > 0 then return portico.stop(1) end
  if run.equal > 0 then return portico.stop(0) end
  complain "nothing to replay: the script has accepted none of these connections"
  return portico.stop(2)
end

return replay
