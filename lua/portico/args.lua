-- portico.args: the command line of a script: an address and options.
--
--   local options = args.parse({
--     name = "send", usage = "[URL] [--file PATH] [--raw]", url = "tcp://127.0.0.1:23232",
--     options = { file = "text", size = "number", raw = "flag" },
--   }, ...)
--   if not options then return end           -- --help, or a mistake: all is said, and the program ends
--   print(options.url, options.file, options.raw)
local portico = require "portico"

local args = {}

local failed = false

---Prints "portico: NAME: TEXT" as one line on stderr and ends the program. What fails because of that is not told.
---@param name string of the script
---@param text string
---@param code? integer exit code, default 1
function args.fail(name, text, code)
  if failed then return end
  failed = true
  io.stderr:write(("portico: %s: %s\n"):format(name, (text:gsub("%c", "?")))) -- a word may hold line ends
  portico.stop(code or 1)
end

-- The option that a mistyped one probably meant: the one that begins with the same letters, as many as possible.
local function guess(spec, word)
  local best, best_length = nil, 0
  for name in pairs(spec.options or {}) do
    local length = 0
    while length < #name and name:byte(length + 1) == word:byte(length + 1) do length = length + 1 end
    if length > best_length or length > 0 and length == best_length and name < best then
      best, best_length = name, length
    end
  end
  return best
end

local function unknown(spec, word)
  local name = guess(spec, word:match("^%-*([^=]*)"))
  local hint = name and ("did you mean --%s?"):format(name) or ("portico run %s --help"):format(spec.name)
  return ("unknown option %s (%s)"):format(word:match("^[^=]*"), hint)
end

-- Reads one option; its value is in the word ("--name=value") or is the next one of `rest`.
-- Returns the name and the value, or nil and what is wrong.
local function read_option(spec, word, rest)
  local name, equals, value = word:match("^%-%-([^=]+)(=?)(.*)$")
  local kind = name and (spec.options or {})[name]
  if not kind then return nil, unknown(spec, word) end
  if kind == "flag" then
    if equals == "=" then return nil, ("--%s takes no value"):format(name) end
    return name, true
  end
  if equals == "" then value = table.remove(rest, 1) end
  if not value then return nil, ("--%s needs a value (portico run %s --help)"):format(name, spec.name) end
  if kind == "text" then return name, value end
  local number = value:find("^%d+$") and math.tointeger(tonumber(value))
  if not number then return nil, ("--%s %s: not a whole number"):format(name, value) end
  return name, number
end

-- Says what is wrong if two options are there that exclude each other.
local function conflict(spec, options)
  local found
  for _, name in ipairs(spec.one_of or {}) do
    local word = name == "-" and name or "--" .. name
    if options[name] and found then return ("%s and %s: give one of them"):format(found, word) end
    if options[name] then found = word end
  end
end

-- Returns the options, or nil and what is wrong.
local function read(spec, rest)
  local options = {}
  while rest[1] do
    local word = table.remove(rest, 1)
    if word == "--help" or word == "-h" then return { help = true } end
    if word == "-" and spec.options and spec.options["-"] then
      options["-"] = true
    elseif word:sub(1, 1) == "-" then
      local name, value = read_option(spec, word, rest)
      if not name then return nil, value end
      options[name] = value
    elseif options.url then
      return nil, ("%s: one address is enough (portico run %s --help)"):format(word, spec.name)
    else
      options.url = word
    end
  end
  options.url = options.url or spec.url
  if not options.url:find("://", 1, true) then options.url = "tcp://" .. options.url end
  local wrong = conflict(spec, options)
  if wrong then return nil, wrong end
  return options
end

---Reads the words after the script's name. `spec` has the script's `name`, its `usage`, the default `url`, and in
---`options` the kind of each option: "flag", "text" or "number" (whole, not negative); ["-"] = "flag" allows a
---single dash. `one_of` lists options that exclude each other. HOST:PORT is short for tcp://HOST:PORT.
---@param spec table
---@param ... string
---@return table? options with `url`; nil after --help or a mistake: then the program ends with exit code 0 or 2
function args.parse(spec, ...)
  local options, wrong = read(spec, { ... })
  if not options then return args.fail(spec.name, wrong, 2) end
  if not options.help then return options end
  print(("usage: portico run %s %s\nWithout a URL it is %s."):format(spec.name, spec.usage, spec.url))
  portico.stop(0)
end

return args
