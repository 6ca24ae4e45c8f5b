-- portico.testing.asserts: what a test may demand. The table can be called as Lua's own assert, too.
local diff = require "portico.testing.diff"
local failure = require "portico.testing.failure"

local asserts = {}

local function fail(name, text, message)
  failure.raise(("assert.%s%s\n%s"):format(name, message and ": " .. tostring(message) or " failed", text))
end

-- An assertion about one value, which must be `what`.
local function about(name, what, holds)
  asserts[name] = function(value, message)
    if not holds(value) then fail(name, ("expected: %s\nreceived: %s"):format(what, diff.show(value)), message) end
    return value
  end
end
about("is_true", "true", function(value) return value == true end)
about("is_false", "false", function(value) return value == false end)
about("is_nil", "nil", function(value) return value == nil end)
about("is_not_nil", "anything but nil", function(value) return value ~= nil end)
about("truthy", "anything but false and nil", function(value) return value and true end)
about("falsy", "false or nil", function(value) return not value end)
for _, kind in ipairs { "string", "number", "table", "function", "boolean" } do
  about("is_" .. kind, "a " .. kind, function(value) return type(value) == kind end)
end

---The two are equal, as == has it.
function asserts.equal(expected, received, message)
  if expected ~= received then fail("equal", diff.values(expected, received), message) end
  return received
end

function asserts.not_equal(unwanted, received, message)
  if unwanted == received then fail("not_equal", "received: " .. diff.show(received), message) end
  return received
end

---The two are equal, tables by what is in them.
function asserts.same(expected, received, message)
  if not diff.same(expected, received) then fail("same", diff.values(expected, received), message) end
  return received
end

function asserts.not_same(unwanted, received, message)
  if diff.same(unwanted, received) then fail("not_same", "received: " .. diff.show(received), message) end
  return received
end

---The number differs from the expected one by no more than `tolerance`.
function asserts.near(expected, received, tolerance, message)
  if type(received) ~= "number" or math.abs(expected - received) > tolerance then
    local text = ("expected: %s, give or take %s\nreceived: %s"):format(expected, tolerance, diff.show(received))
    fail("near", text, message)
  end
  return received
end

---The text has a match of the Lua pattern.
function asserts.matches(pattern, text, message)
  if type(text) ~= "string" or not text:find(pattern) then
    fail("matches", ("pattern:  %s\nreceived: %s"):format(diff.show(pattern), diff.show(text)), message)
  end
  return text
end

function asserts.no_match(pattern, text, message)
  if type(text) ~= "string" or text:find(pattern) then
    fail("no_match", ("pattern:  %s\nreceived: %s"):format(diff.show(pattern), diff.show(text)), message)
  end
  return text
end

-- The text of an error without the "FILE:LINE: " that error() has put in front.
local function bare(problem)
  return type(problem) == "string" and problem:gsub("^[^\n]-:%d+: ", "") or problem
end

---fn() raises an error: this one if one is given, a text with or without its position.
function asserts.has_error(fn, expected, message)
  local good, problem = pcall(fn)
  if good then fail("has_error", "no error was raised", message) end
  if type(problem) == "table" and problem.where and problem.text then problem = problem.text end
  if expected ~= nil and not diff.same(expected, problem) and not diff.same(expected, bare(problem)) then
    fail("has_error", diff.values(expected, bare(problem)), message)
  end
  return problem
end

---fn() raises an error whose text has a match of the pattern.
function asserts.error_matches(fn, pattern, message)
  local good, problem = pcall(fn)
  if good then fail("error_matches", "no error was raised", message) end
  if not tostring(problem):find(pattern) then
    local text = ("pattern:  %s\nreceived: %s"):format(diff.show(pattern), diff.show(tostring(problem)))
    fail("error_matches", text, message)
  end
  return problem
end

function asserts.has_no_error(fn, message)
  local good, problem = pcall(fn)
  if not good then fail("has_no_error", "received: " .. tostring(problem), message) end
end

-- What those who know busted will type.
asserts.equals, asserts.is_equal, asserts.is_same = asserts.equal, asserts.equal, asserts.same
asserts.error = asserts.has_error
asserts.is_truthy, asserts.is_falsy, asserts.not_nil = asserts.truthy, asserts.falsy, asserts.is_not_nil
asserts.has_no = { error = asserts.has_no_error, errors = asserts.has_no_error }
asserts.has = { error = asserts.has_error, errors = asserts.has_error, match = asserts.matches }
asserts.is_not = { equal = asserts.not_equal, same = asserts.not_same, ["nil"] = asserts.is_not_nil }
asserts.are_not = asserts.is_not
asserts.are = { equal = asserts.equal, equals = asserts.equal, same = asserts.same, near = asserts.near }
asserts.is = { equal = asserts.equal, same = asserts.same, ["true"] = asserts.is_true, ["false"] = asserts.is_false,
  ["nil"] = asserts.is_nil, truthy = asserts.truthy, falsy = asserts.falsy }

return setmetatable(asserts, {
  __call = function(_, ...)
    if ... then return ... end
    local _, message = ...
    if select("#", ...) < 2 then message = "assertion failed!" end
    failure.raise(tostring(message))
  end,
  __index = function(_, name)
    failure.raise(("there is no assert.%s (lua/README.md names those that there are)"):format(tostring(name)))
  end,
})
