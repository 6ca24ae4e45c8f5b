# C modules for stock Lua 5.4, from Debian's packages, load in the program and work.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'Debian has no such modules for Windows'

find_module() { "$PORTICO" run $E2E/has_module.lua "$1" >/dev/null 2>&1; }
find_module socket.core || skip 'LuaSocket is not installed (sh third_party/install.sh)'
find_module cjson || skip 'lua-cjson is not installed (sh third_party/install.sh)'

cat >"$T/cjson.lua" <<'LUA'
local cjson = require "cjson"
local value = cjson.decode('{"a":[1,2,{"b":null}],"text":"\\u00fc"}')
assert(value.a[3].b == cjson.null and value.text == "ü")
print(cjson.encode({ 1, "two", { three = 3 } }))
LUA
run "$PORTICO" run "$T/cjson.lua"
check 'lua-cjson' [ "$(cat "$T/run.out")" = '[1,"two",{"three":3}]' ]

cat >"$T/json_log.lua" <<'LUA'
local portico = require "portico"
portico.log("warn", 'a "quote"\n\27 \xff ü \\ end')
LUA
cat >"$T/read_log.lua" <<'LUA'
local record = require("cjson").decode(io.read("a"))
assert(record.level == "warn" and record.vm == 1)
assert(record.time:match("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$"))
print(record.message)
LUA
run "$PORTICO" run --log-format json "$T/json_log.lua"
"$PORTICO" run "$T/read_log.lua" <"$T/run.err" >"$T/message"
printf 'a "quote"\n\033 \357\277\275 \303\274 \\ end\n' >"$T/expected"
check 'a JSON log line is read back by lua-cjson' same "$T/message" "$T/expected"

cat >"$T/socket.lua" <<'LUA'
-- A blocking client inside a handler, talking to an echo in another VM of the same program.
local portico = require "portico"
local socket = require "socket"
local listener = assert(portico.listen("tcp://127.0.0.1:0", { on_data = function(conn, data) conn:send(data) end }))
local port = tonumber(listener.url:match(":(%d+)$"))
if portico.vm.id == 1 then
  portico.after(0, function()
    local clients = {}
    for i = 1, portico.vm.count do -- so that each VM gets one; only ours cannot answer while we block
      clients[i] = assert(socket.connect("127.0.0.1", port))
      clients[i]:send("hello " .. i .. "\n")
    end
    local answers = 0
    for _, client in ipairs(clients) do
      client:settimeout(1)
      if client:receive("*l") then answers = answers + 1 end
    end
    print(answers >= portico.vm.count - 1 and answers > 0)
    portico.stop(0)
  end)
end
LUA
run "$PORTICO" run --vms 3 --concurrency 1 "$T/socket.lua"
check 'LuaSocket blocks its own VM only' [ "$(cat "$T/run.out")" = true ]

# A client that sends and does not read: echo must stop receiving, and all must come back once the client reads.
cat >"$T/stubborn.lua" <<'LUA'
local socket = require "socket"
local host, port = arg[1]:match("^tcp://(.*):(%d+)$")
local client = assert(socket.connect(host, tonumber(port)))
client:settimeout(0.5)
local piece, sent = ("0123456789abcdef"):rep(4096), 0
while sent < 256 << 20 do
  local last, why, partial = client:send(piece)
  sent = sent + (last or partial)
  if why then break end
end
assert(sent < 64 << 20, "the server took " .. sent .. " bytes and gave none back")
client:settimeout(20)
client:shutdown("send")
local back, bytes = nil, 0
repeat
  local data, why, rest = client:receive(65536)
  back = data or rest
  local from = bytes % #piece
  assert(back == (piece .. piece):sub(from + 1, from + #back), "wrong bytes")
  bytes = bytes + #back
until why
assert(bytes == sent, bytes .. " of " .. sent)
print("stopped and went on")
LUA
serve echo "$PORTICO" run --memory 32 echo tcp://127.0.0.1:0
run "$PORTICO" run "$T/stubborn.lua" "$url"
check 'echo to a client that does not read waits, then all comes back' \
  [ "$(cat "$T/run.out")" = 'stopped and went on' ]
stop echo
