-- portico.testing: what `portico test` runs: describe and it, in the manner of busted. lua/README.md tells how to write
-- tests; src/cli/test.c finds the files and calls main.
local portico = require "portico"
local asserts = require "portico.testing.asserts"
local failure = require "portico.testing.failure"
local report = require "portico.testing.report"
local sim = require "portico.sim"

local testing = {}

---A describe; the outermost one is the file.
---@class portico.testing.Block
---@field name string with those of the blocks around it
---@field parent? portico.testing.Block
---@field children table[] blocks, and tests: { name, fn, line }
---@field hooks table<string, function[]>

local function new_block(parent, name)
  local full = parent and parent.name ~= "" and parent.name .. " " .. name or name
  return { name = full, parent = parent, children = {},
    hooks = { setup = {}, teardown = {}, before_each = {}, after_each = {} } }
end

-- Calls all hooks of a kind; those that undo something run even if another one has failed.
local function call_hooks(block, kind)
  local first
  for _, hook in ipairs(block.hooks[kind]) do
    local good, problem = failure.catch(hook)
    if not good then first = first or problem end
  end
  return first
end

-- What a test file may say ----------------------------------------------------------------------------------------

local function check_text(name, what)
  if type(name) ~= "string" then failure.raise(what .. ": the first argument is a text that says what it is about") end
end

local function check_place(file, what)
  if file.running then failure.raise(what .. " inside a test: it belongs into a describe, or into the file") end
end

-- Adds a test to the block that is being described. Without fn it is pending. Called by what the file calls.
local function add_test(file, name, fn)
  local block = file.block
  local prefix = block.name ~= "" and block.name .. " " or ""
  local line = debug.getinfo(3, "l").currentline
  table.insert(block.children, { name = prefix .. name, fn = fn, line = line })
end

-- Functions for describing tests, which go into `file.block`, the block that is being described.
local function vocabulary(file)
  local words = {}

  function words.describe(name, fn)
    check_text(name, "describe")
    check_place(file, "describe")
    local outer = file.block
    file.block = new_block(outer, name)
    table.insert(outer.children, file.block)
    fn()
    file.block = outer
  end

  function words.it(name, fn)
    check_text(name, "it")
    check_place(file, "it")
    add_test(file, name, fn)
  end

  function words.pending(name)
    check_text(name, "pending")
    if file.running then failure.raise(name, "pending") end
    add_test(file, name)
  end

  for _, kind in ipairs { "setup", "teardown", "before_each", "after_each" } do
    words[kind] = function(fn)
      check_place(file, kind)
      table.insert(file.block.hooks[kind], fn)
    end
  end
  return words
end

-- The global variables of a test file: its own, with everybody's behind them.
local function environment(file, run)
  local env = vocabulary(file)
  env._G, env.assert = env, asserts
  function env.print(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    run.comment(table.concat(words, "\t"))
  end
  return setmetatable(env, { __index = _G })
end

-- Running ------------------------------------------------------------------------------------------------------------

local function give(run, result)
  local summary = run.summary
  summary.total = summary.total + 1
  summary[result.status] = summary[result.status] + 1
  for _, reporter in ipairs(run.reporters) do reporter.result(result) end
end

local function selected(run, test) return not run.filter or test.name:find(run.filter) ~= nil end

local function any_selected(run, block)
  for _, child in ipairs(block.children) do
    if child.children and any_selected(run, child) or not child.children and selected(run, child) then return true end
  end
  return false
end

-- before_each from the outside in, then the test.
local function call_test(block, test)
  local chain, around = {}, block
  while around do
    table.insert(chain, 1, around)
    around = around.parent
  end
  for _, one in ipairs(chain) do
    for _, hook in ipairs(one.hooks.before_each) do hook() end
  end
  test.fn()
end

-- Runs a test with what belongs around it. Returns its failure, or nil.
local function attempt(file, block, test)
  local mark = sim.mark()
  file.running = true
  local good, problem = failure.catch(call_test, block, test)
  local around = block
  while around do -- from the inside out
    local undo = call_hooks(around, "after_each")
    if good and undo then good, problem = false, undo end
    around = around.parent
  end
  local closed, left_over = failure.catch(sim.close_since, mark)
  file.running = false
  if good and not closed then good, problem = false, left_over end
  if not good then return problem end
end

local function run_test(run, file, block, test, broken)
  local start = portico.now()
  local problem = broken
  sim.context.rerun = function(seed) return run.rerun(file.path, test.name, seed) end
  if test.fn and not broken then problem = attempt(file, block, test) end
  local status = problem and (problem.kind or "failed") or test.fn and "passed" or "pending"
  give(run, { name = test.name, file = file.path, line = test.line, status = status,
    seconds = portico.now() - start, failure = problem })
end

-- broken: why the setup of a block around this one failed; then its tests fail for the same reason.
local function run_block(run, file, block, broken)
  if not any_selected(run, block) then return end
  local mark = sim.mark()
  broken = broken or call_hooks(block, "setup")
  for _, child in ipairs(block.children) do
    if child.children then
      run_block(run, file, child, broken)
    elseif selected(run, child) then
      run_test(run, file, block, child, broken)
    end
  end
  local problem = call_hooks(block, "teardown")
  local closed, left_over = failure.catch(sim.close_since, mark)
  problem = problem or not closed and left_over or nil
  if not problem then return end
  give(run, { name = (block.name ~= "" and block.name .. " " or "") .. "teardown", file = file.path, line = 1,
    status = "failed", seconds = 0, failure = problem })
end

local function list_block(run, file, block)
  for _, child in ipairs(block.children) do
    if child.children then
      list_block(run, file, child)
    elseif selected(run, child) then
      run.summary.total = run.summary.total + 1
      print(("%s:%d: %s"):format(file.path, child.line, child.name))
    end
  end
end

-- Files --------------------------------------------------------------------------------------------------------------

local function read_file(path)
  local handle, why = io.open(path, "rb")
  if not handle then error(why, 0) end
  local text = handle:read "a"
  handle:close()
  return text
end

-- Fills file.block with what the file describes.
local function describe_file(run, file)
  local chunk, why = load(read_file(file.path), "@" .. file.path, "t", environment(file, run))
  if not chunk then error(why, 0) end
  chunk()
end

-- Runs fn; what it has loaded with require is forgotten afterwards, so that a file finds nothing of another one.
local function with_modules_of(folder, fn)
  local path, before = package.path, {}
  for name in pairs(package.loaded) do before[name] = true end
  package.path = folder .. "/?.lua;" .. path
  fn()
  package.path = path
  for name in pairs(package.loaded) do
    if not before[name] then package.loaded[name] = nil end
  end
end

local function run_file(run, path)
  local folder = path:match "^(.*)[/\\][^/\\]*$" or "."
  local file = { path = path, block = new_block(nil, ""), running = false }
  sim.context.folder = folder
  with_modules_of(folder, function()
    local root, mark = file.block, sim.mark()
    local good, problem = failure.catch(describe_file, run, file)
    if not good then
      failure.catch(sim.close_since, mark)
      local line = tonumber(problem.where:match ":(%d+): $") or 1
      local result = { name = "the test file", file = path, line = line, status = "failed", seconds = 0,
        failure = problem }
      give(run, result)
    elseif run.list then
      list_block(run, file, root)
    else
      run_block(run, file, root)
    end
  end)
end

-- The command line ---------------------------------------------------------------------------------------------------

local function complain(text)
  io.stderr:write("portico: test: ", text, "\n")
  return portico.stop(2)
end

-- The words that src/cli/test.c has checked: "--name=value", ..., "--", files. A file that was found twice is run once.
local function read_words(...)
  local options, files, seen, is_file = {}, {}, {}, false
  for _, word in ipairs { ... } do
    local name, value = word:match "^%-%-([%w-]+)=(.*)$"
    if is_file and not seen[word] then
      files[#files + 1], seen[word] = word, true
    elseif word == "--" then
      is_file = true
    elseif not is_file then
      options[name] = value
    end
  end
  return options, files
end

local function shell_word(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- The command that runs one test with one seed.
local function rerun_command(path, name, seed)
  local pattern = "^" .. name:gsub("%p", "%%%0") .. "$"
  return ("portico test --seed %d --filter %s %s"):format(seed, shell_word(pattern), shell_word(path))
end

local function to_screen(text)
  io.stdout:write(text)
  io.stdout:flush()
end

-- The reporters, and the function that closes the report's file.
local function open_reports(options)
  local format = options.output or "tap"
  local path = options["output-file"]
  if not path then return { report[format](to_screen) }, function() return true end end
  local handle, why = io.open(path, "wb")
  if not handle then return nil, why end
  local wrong
  local function to_file(text)
    local written, problem = handle:write(text)
    if not written then wrong = problem end
  end
  return { report.tap(to_screen), report[format](to_file) }, function()
    local closed, problem = handle:close()
    return not wrong and closed, wrong or problem
  end
end

-- print in a test: a comment of TAP; next to JUnit's XML it may not be.
local function comment_for(options)
  local stream = options.output == "junit" and not options["output-file"] and io.stderr or io.stdout
  return function(text)
    stream:write("# ", text:gsub("\n", "\n# "), "\n")
    stream:flush()
  end
end

local function finish(run, close_report)
  local summary = run.summary
  summary.seconds = portico.now() - run.start
  if not run.list then
    for _, reporter in ipairs(run.reporters) do reporter.finish(summary) end
  end
  local closed, why = close_report()
  if not closed then return complain("cannot write the report: " .. tostring(why)) end
  if summary.failed > 0 then return portico.stop(1) end
  if summary.total > 0 then return portico.stop(0) end
  if not run.filter then return complain 'no tests in these files (it("does something", function() ... end) is one)' end
  return complain(("--filter %s: no test has such a name (portico test --list names them)"):format(run.filter))
end

---Runs test files. The exit code of the program becomes 0 (all passed), 1 (a test failed) or 2 (nothing to run).
---@param ... string "--name=value" for each option, "--", the files
function testing.main(...)
  local options, files = read_words(...)
  if options.filter and not pcall(string.find, "", options.filter) then
    return complain(("--filter %s: not a Lua pattern (%% before a punctuation mark takes it as it is)"):format(
      options.filter))
  end
  sim.context.seed = options.seed and math.tointeger(tonumber(options.seed))
  local run = { filter = options.filter, list = options.list ~= nil, start = portico.now(), rerun = rerun_command,
    summary = { total = 0, passed = 0, failed = 0, pending = 0 }, comment = comment_for(options) }
  local reporters, close_report = {}, function() return true end
  if not run.list then reporters, close_report = open_reports(options) end
  if not reporters then return complain("cannot write the report: " .. close_report) end
  run.reporters = reporters
  for _, path in ipairs(files) do run_file(run, path) end
  finish(run, close_report)
end

return testing
