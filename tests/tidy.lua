-- tidy.lua - rules about the source tree that no compiler checks; exits 1 and prints a line per finding.
--
--   lua5.4 tests/tidy.lua [build/compile_commands.json [Linux|Windows]]   from the top of the tree
--   lua5.4 tests/tidy.lua --self-test                                     proves that every rule can fail
--
-- Given the build's list of compile commands it also finds C files that are in no build of that system.

-- A layer may include itself and those before it.
local LAYERS = { "include", "base", "os", "port", "net", "vm", "host", "cli" }
local RANK = {}
for rank, layer in ipairs(LAYERS) do RANK[layer] = rank end

local ISO_HEADERS = {} -- C11 without threads.h, which mingw-w64 lacks
for name in ([[assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath time uchar wchar wctype]]):gmatch "%w+" do
  ISO_HEADERS[name .. ".h"] = true
end
local LUA_HEADERS = { ["lua.h"] = true, ["lauxlib.h"] = true, ["lualib.h"] = true, ["luaconf.h"] = true }
local GENERATED = { ["embedded_modules.h"] = "host", ["embedded_scripts.h"] = "cli" } -- and the layer that has it
local COLUMNS_MAX = 120

local CHECKED = { "%.[ch]$", "%.lua$", "%.sh$", "%.cmake$", "CMakeLists%.txt$" }
-- Files that belong to one system by their name, and so are missing from the other's build.
local OF_LINUX = { "_posix%.c$", "_linux%.c$", "_posix_test%.c$", "_linux_test%.c$", "/port_uring[^/]*%.c$" }
local BUILT = { "^src/.*%.c$", "^tests/unit/.*%.c$", "^tests/port/.*%.c$" } -- every other C file is free
local OF_WINDOWS = { "_win32%.c$", "/port_iocp[^/]*%.c$", "_win32_test%.c$" }

local function matches_any(text, patterns)
  for _, pattern in ipairs(patterns) do
    if text:find(pattern) then return true end
  end
  return false
end

local function split_lines(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "(.-)\r?\n" do lines[#lines + 1] = line end
  return lines
end

-- Returns C text with the insides of comments and literals turned to spaces, every line break kept, and the set of
-- lines that a comment touches.
local function blank(text)
  local out, commented, at, line = {}, {}, 1, 1
  local function take(stop, hide, comment)
    local piece = text:sub(at, stop)
    for _ in piece:gmatch "\n" do
      if comment then commented[line] = true end
      line = line + 1
    end
    if comment then commented[line] = true end
    out[#out + 1] = hide and piece:gsub("[^\n]", " ") or piece
    at = stop + 1
  end
  while at <= #text do
    local start = text:find("[/\"']", at) or #text + 1
    if start > at then take(start - 1) end
    local two = text:sub(at, at + 1)
    if two == "/*" then
      take(select(2, text:find("*/", at + 2, true)) or #text, true, true)
    elseif two == "//" then
      take((text:find("\n", at, true) or #text + 1) - 1, true, true)
    elseif two:find "^[\"']" then
      local quote, stop = two:sub(1, 1), at + 1
      while stop <= #text and text:sub(stop, stop) ~= quote do
        stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
      end
      take(math.min(stop, #text), true)
    elseif at <= #text then
      take(at)
    end
  end
  return table.concat(out), commented
end

-- The includes of a C file: a list of { line, name, system = is it <name> }.
local function includes_of(text)
  local found, blanked = {}, split_lines((blank(text)))
  for number, line in ipairs(split_lines(text)) do
    local open, name = line:match '^%s*#%s*include%s*([<"])([^>"]+)[>"]'
    if name and blanked[number]:find "^%s*#" then
      found[#found + 1] = { line = number, name = name, system = open == "<" }
    end
  end
  return found
end

-- Why a file of `layer` may not include `include`; nil when it may.
local function objection(path, layer, include)
  local name = include.name
  if LUA_HEADERS[name] then
    return layer ~= "vm" and layer ~= "host" and name .. " belongs to src/vm and src/host only"
  elseif include.system then
    local backend = path:find "^src/port/port_[^/]*%.c$" or path == "src/port/port_uring.h"
    local may = ISO_HEADERS[name] or layer == "os" or backend
    return not may and "<" .. name .. "> is not ISO C11; OS headers belong to src/os and src/port/port_*.c"
  elseif GENERATED[name] then
    return GENERATED[name] ~= layer and name .. " belongs to src/" .. GENERATED[name]
  end
  local target = name == "portico.h" and "include" or name:match "^([^/]+)/"
  if not RANK[target] then
    return 'spell "' .. name .. '" from src/, as in "port/port.h"'
  elseif layer == "cli" and target ~= "cli" and target ~= "include" then
    return "the cli is a plain embedder: of ours it includes portico.h only, not " .. name
  elseif RANK[target] > RANK[layer] then
    return "upward include: " .. layer .. " may not see " .. name
  end
end

local function check_includes(path, text, report)
  local layer = path:match "^src/([^/]+)/"
  if not RANK[layer] then return end
  for _, include in ipairs(includes_of(text)) do
    local why = objection(path, layer, include)
    if why then report(include.line, why) end
  end
end

-- Calls visit(head, first_line, last_line) for each declaration at the outer level of blanked C text; head is its
-- text without the insides of braces.
local function each_declaration(text, visit)
  local head, first, depth, line = "", nil, 0, 1
  local function finish()
    if first then visit(head, first, line) end
    head, first = "", nil
  end
  for char in text:gmatch "." do
    if char == "\n" then line = line + 1 end
    if char == "{" then
      if depth == 0 and head:find "^extern%s*$" then -- extern "C" { is no level
        head, first = "", nil
      else
        depth = depth + 1
      end
    elseif char == "}" then
      if depth > 0 then depth = depth - 1 end
      if depth == 0 and head:find "%)%s*$" then finish() end -- the body of a function
    elseif depth == 0 then
      if char == ";" then
        finish()
      elseif first or char:find "%S" then
        first = first or line
        head = head .. char
      end
    end
  end
end

-- The name of the function that a declaration declares, or nil.
local function function_name(head)
  head = head:gsub("__attribute__%s*%b()", " "):gsub("^%s+", "")
  if head:find "^typedef%f[%W]" or head:find "^_?[Ss]tatic_assert%f[%W]" then return nil end
  local name, arguments = head:match "([%a_][%w_]*)%s*(%b())"
  return name and not arguments:find "^%(%s*%*" and name or nil
end

-- A comment above a declaration also covers those that follow it line on line.
local function check_comments(path, text, report)
  if not path:find "^src/.*%.h$" then return end
  local blanked, commented = blank(text)
  local lines = split_lines(blanked)
  local continued = false
  for number, line in ipairs(lines) do -- the preprocessor's lines declare nothing
    if continued or line:find "^%s*#" then
      continued = line:find "\\$" ~= nil
      lines[number] = ""
    end
  end
  local code = {}
  for number, line in ipairs(lines) do code[number] = line:find "%S" ~= nil end
  local covered_to -- last line of the previous declaration when a comment above covers it
  each_declaration(table.concat(lines, "\n"), function(head, first, last)
    local covered = (commented[first - 1] and not code[first - 1]) or covered_to == first - 1 or covered_to == first
    covered_to = covered and last or nil
    local beside = false
    for line = first, last do beside = beside or commented[line] end
    local name = function_name(head)
    if name and not covered and not beside then report(first, name .. "() has no comment above it") end
  end)
end

local function check_text(path, text, report)
  local is_c_or_lua = path:find "%.[ch]$" or path:find "%.lua$"
  for number, line in ipairs(split_lines(text)) do
    if is_c_or_lua and line:find "\t" then report(number, "tab") end
    if line:find "[ \t]$" then report(number, "space at the end of the line") end
    if (utf8.len(line) or #line) > COLUMNS_MAX then report(number, "longer than " .. COLUMNS_MAX .. " columns") end
    for _, word in ipairs { "TO" .. "DO", "FIX" .. "ME", "XX" .. "X" } do
      if line:find("%f[%w]" .. word .. "%f[%W]") then report(number, word .. ": do it, or write an issue") end
    end
  end
end

-- Headers that no file includes, and C files that no build compiles. `commands` is nil when there is no build to ask.
local function check_use(files, commands, system, report)
  local included = {}
  for path, text in pairs(files) do
    if path:find "%.[ch]$" then
      for _, include in ipairs(includes_of(text)) do
        if not path:find("/" .. include.name, 1, true) then included[include.name] = true end
      end
    end
  end
  local foreign = system == "Windows" and OF_LINUX or OF_WINDOWS
  for path in pairs(files) do
    if path:find "%.h$" then
      local used, tail = included[path], path
      while not used and tail do
        tail = tail:match "/(.*)$"
        used = tail and included[tail]
      end
      if not used then report(path, 1, "no file includes this header") end
    elseif commands and matches_any(path, BUILT) then
      if not matches_any(path, foreign) and not commands:find("/" .. path .. '"', 1, true) then
        report(path, 1, "not part of the build")
      end
    end
  end
end

-- Checks a tree given as { [path] = text }; returns its findings as sorted lines "path:line: what".
local function check_tree(files, commands, system)
  local findings = {}
  local function report(path, line, what) findings[#findings + 1] = ("%s:%d: %s"):format(path, line, what) end
  for path, text in pairs(files) do
    local function here(line, what) report(path, line, what) end
    check_text(path, text, here)
    if path:find "%.[ch]$" then
      check_includes(path, text, here)
      check_comments(path, text, here)
    end
  end
  check_use(files, commands, system, report)
  table.sort(findings)
  return findings
end

local function read_file(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

-- The files of ours that the rules are about, as { [path] = text }, and their number.
local function read_tree()
  local list = io.popen("git ls-files -co --exclude-standard 2>/dev/null || "
    .. "find . -type f -not -path './build*' -not -path './.git/*' | sed 's,^\\./,,'")
  local files, count = {}, 0
  for path in list:lines() do
    local file = matches_any(path, CHECKED) and io.open(path, "rb")
    if file then -- git also lists files that were just deleted
      files[path], count = file:read "a", count + 1
      file:close()
    end
  end
  list:close()
  return files, count
end

-- Each case: a tree, and the only finding it must give ("" for none).
local function self_test()
  local use_a = '#include "base/a.h"\n'
  local function header(text) return { ["src/base/a.h"] = text, ["src/base/a.c"] = use_a } end
  local cases = {
    { "an include of a lower layer is fine",
      { ["src/vm/v.c"] = use_a .. "#include <stdio.h>\n", ["src/base/a.h"] = "" }, "" },
    { "an upward include",
      { ["src/base/a.c"] = '#include "os/b.h"\n', ["src/os/b.h"] = "" }, "upward include: base" },
    { "an include not spelled from src/",
      { ["src/os/a.c"] = '#include "b.h"\n', ["src/os/b.h"] = "" }, 'spell "b.h" from src/' },
    { "the cli peeking inside", { ["src/cli/a.c"] = use_a, ["src/base/a.h"] = "" }, "the cli is a plain embedder" },
    { "what the cli may include is fine",
      { ["src/cli/a.c"] = '#include "cli/b.h"\n#include "portico.h"\n#include "embedded_scripts.h"\n',
        ["src/cli/b.h"] = "", ["src/include/portico.h"] = "" }, "" },
    { "a generated header in the wrong layer",
      { ["src/vm/a.c"] = '#include "embedded_modules.h"\n' }, "belongs to src/host" },
    { "lua.h in net", { ["src/net/a.c"] = "#include <lua.h>\n" }, "lua.h belongs to" },
    { "lua.h in vm is fine", { ["src/vm/a.c"] = '#include <lua.h>\n#include "lauxlib.h"\n' }, "" },
    { "an OS header in net", { ["src/net/a.c"] = "#include <sys/socket.h>\n" }, "<sys/socket.h> is not ISO" },
    { "an OS header in port.c", { ["src/port/port.c"] = "#include <windows.h>\n" }, "<windows.h> is not ISO" },
    { "OS headers in os and in a backend are fine",
      { ["src/os/a.c"] = "#include <unistd.h>\n", ["src/port/port_x.c"] = "#include <windows.h>\n" }, "" },
    { "an include in a comment is none", { ["src/net/a.c"] = "/*\n#include <unistd.h>\n*/\n" }, "" },
    { "a function without a comment", header "\nint f(void);\n", "f() has no comment" },
    { "an inline function without a comment",
      header "\nstatic inline int f(int a) {\n  return (a);\n}\n", "f() has no comment" },
    { "a comment one line too far up", header "/* Does f. */\n\nint f(void);\n", "f() has no comment" },
    { "a function after a gap in a group",
      header "/* Both. */\nint f(void);\n\nint g(void);\n", "g() has no comment" },
    { "a group under one comment is fine",
      header "/* All.\n * Really. */\nint f(void);\nvoid *g(int a,\n  char b);\nint h(void);\n", "" },
    { "a comment beside the function is fine", header "int f(void); /* Does f. */\n", "" },
    { "types, callbacks and macros need no comment", header [[
#define F(x) \
  g(x)
typedef struct a a;
typedef void (*on_f)(int err);
struct a { int (*call)(int); char text[sizeof(int)]; };
extern void (*hook)(void);
static_assert(sizeof(int) == 4, "f(x);");
extern "C" {
enum { A = ')' };
}
]], "" },
    { "attributes hide no function",
      header "\n__attribute__((noreturn)) void f(void);\n", "f() has no comment" },
    { "a header nobody includes", { ["src/base/a.h"] = "" }, "no file includes" },
    { "a header only its own text names", { ["src/base/a.h"] = use_a }, "no file includes" },
    { "a C file in no build", { ["src/base/b.c"] = "" }, "not part of the build", build = "Linux" },
    { "a Linux file missing on Linux", { ["src/os/b_posix.c"] = "" }, "not part of the build", build = "Linux" },
    { "a Windows file missing on Windows",
      { ["src/port/port_iocp.c"] = "" }, "not part of the build", build = "Windows" },
    { "files of the other system are fine",
      { ["src/os/b_posix.c"] = "", ["src/port/port_uring.c"] = "" }, "", build = "Windows" },
    { "C files that are built are fine", { ["src/base/built.c"] = "" }, "", build = "Linux" },
    { "a tab", { ["scripts/a.lua"] = "\tx\n" }, "tab" },
    { "trailing space", { ["a.sh"] = "x \n" }, "space at the end" },
    { "a long line", { ["a.lua"] = ("é"):rep(121) .. "\n" }, "longer than 120" },
    { "120 columns are fine", { ["a.lua"] = ("é"):rep(120) .. "\n" }, "" },
  }
  for _, word in ipairs { "TO" .. "DO", "FIX" .. "ME", "XX" .. "X" } do
    cases[#cases + 1] = { "a " .. word, { ["a.lua"] = "-- " .. word .. ": x\n" }, word .. ": do it" }
  end
  local failed = 0
  for _, case in ipairs(cases) do
    local findings = check_tree(case[2], case.build and '"file": "/top/src/base/built.c"', case.build)
    local good = #findings == (case[3] == "" and 0 or 1) and table.concat(findings):find(case[3], 1, true)
    if not good then
      failed = failed + 1
      print(("%s: wanted '%s', got: %s"):format(case[1], case[3], table.concat(findings, " | ")))
    end
  end
  if not read_tree()["tests/tidy.lua"] then
    failed = failed + 1
    print "the list of files lacks tests/tidy.lua: run this from the top of the tree"
  end
  print(("tidy: self-test, %d cases, %d failed"):format(#cases + 1, failed))
  return failed == 0
end

if arg[1] == "--self-test" then os.exit(self_test()) end
local files, count = read_tree()
local findings = check_tree(files, arg[1] and read_file(arg[1]), arg[2] or "Linux")
for _, finding in ipairs(findings) do print(finding) end
print(("tidy: %d files, %d findings"):format(count, #findings))
os.exit(#findings == 0 and count > 0)
