-- print: shows what it receives, piece by piece, and never answers.
--   portico run print                         listens on tcp://0.0.0.0:23232: every address of this machine
--   portico run print tcp://127.0.0.1:7000    any other address; port 0 means: any free port
--   portico run print --raw                   bytes as they are; without it, those that could drive your
--                                             terminal are shown as \x1b and the like
-- Try it:  portico run send
local portico = require "portico"
local args = require "portico.args"

local options = args.parse({
  name = "print", usage = "[URL] [--raw]", url = "tcp://0.0.0.0:23232", options = { raw = "flag" },
}, ...)
if not options then return end

local BAR = ("="):rep(36)

-- Control bytes drive terminals: a peer must not be able to retitle or reprogram yours. New lines and tabs may pass.
local escaped = {}
for byte = 0, 255 do escaped[string.char(byte)] = ("\\x%02x"):format(byte) end
escaped["\n"], escaped["\t"] = nil, nil

local function visible(data)
  data = data:gsub("%c", escaped)
  -- Beyond ASCII: whole UTF-8 characters may pass, except U+0080 to U+009F, which are control characters too.
  return (data:gsub("[\x80-\xFF][\x80-\xBF]*", function(character)
    if utf8.len(character) ~= 1 or utf8.codepoint(character) < 0xA0 then return (character:gsub(".", escaped)) end
  end))
end

local listener, message = portico.listen(options.url, {
  recv_max = 8192, -- the largest piece that on_data gets

  on_open = function(conn)
    conn.total = 0 -- a field of ours: the bytes of this connection so far
    print("connected: " .. conn.peer)
  end,

  on_data = function(conn, data)
    conn.total = conn.total + #data
    local shown = options.raw and data or visible(data)
    -- One print, for it is one write: what several connections say does not mix.
    print(("%s\n%s\n%s\nbytes=%d, total=%d"):format(BAR, shown, BAR, #data, conn.total))
  end,

  on_close = function(conn, err)
    print(("closed: %s, total=%d%s"):format(conn.peer, conn.total, err and ", " .. err or ""))
  end,
})
if not listener then return args.fail("print", message) end

-- The script runs once in each Lua state ("VM"), and all of them share the listener. One of them says so.
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
