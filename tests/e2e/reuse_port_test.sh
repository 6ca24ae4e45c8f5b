# reuse_port: a listening socket for each VM, or for each of several programs.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'Windows cannot spread connections over several listening sockets'

# Answers with its name, the second argument or the number of the VM. "close" closes the listener of the VM only.
cat >"$T/server.lua" <<'LUA'
local portico = require "portico"
local url, name = ...
name = name or portico.vm.id
local listener
listener = assert(portico.listen(url, {
  reuse_port = true,
  on_open = function(conn) conn.opened_by = name conn:send(name, "\n") end,
  on_data = function(conn, data)
    assert(conn.opened_by == name)
    if data == "close" then assert(listener:close()) end
    conn:send(name, "\n")
  end,
}))
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
io.stderr:write("VM " .. portico.vm.id .. " listens on " .. listener.url .. "\n")
LUA

# client.lua URL CONNECTIONS [CLOSER]: opens so many, asks each three times and prints whose they are. Then the VM
# called CLOSER closes its listener, and it does the same again with new ones; those of before are asked once more.
cat >"$T/client.lua" <<'LUA'
local portico = require "portico"
local url, count, closer = ...
count = tonumber(count)
local old, moved = {}, 0

local function report(title, of)
  local names = {}
  for name in pairs(of) do names[#names + 1] = name end
  table.sort(names)
  print(title, table.concat(names, " "), "moved " .. moved)
end

-- Opens `count` connections; calls done(connections by name) when each has answered four times.
local function round(done)
  local by_name, left = {}, count
  for _ = 1, count do
    assert(portico.connect(url, {
      on_data = function(conn, data)
        local name = data:match("^(.*)\n$")
        conn.owner, conn.answers = conn.owner or name, (conn.answers or 0) + 1
        if name ~= conn.owner then moved = moved + 1 end
        if conn.answers < 4 then return conn:send("again") end
        if conn.answers > 4 then return conn.on_answer() end
        by_name[name] = by_name[name] or {}
        table.insert(by_name[name], conn)
        left = left - 1
        if left == 0 then done(by_name) end
      end,
      on_close = function(_, err, code)
        if code == "ECANCELED" then return end -- our own stop
        print("a connection ended", err)
        portico.stop(1)
      end,
    }))
  end
end

local function ask_old(done)
  local left = count
  for _, conns in pairs(old) do
    for _, conn in ipairs(conns) do
      conn.on_answer = function() left = left - 1 if left == 0 then done() end end
      conn:send("again")
    end
  end
end

round(function(by_name)
  old = by_name
  report("all", by_name)
  if not closer then return portico.stop(0) end
  local conn = by_name[closer][1]
  conn.on_answer = function()
    round(function(later)
      report("later", later)
      ask_old(function() report("old", old) portico.stop(0) end)
    end)
  end
  conn:send("close")
end)
LUA

serve vms "$PORTICO" run --vms 4 "$T/server.lua" tcp://127.0.0.1:0
await vms.err '^VM 4 listens'
check 'the address is the same in all VMs' [ "$(grep -c "^VM . listens on $url\$" "$T/vms.err")" -eq 4 ]
run "$PORTICO" run "$T/client.lua" "$url" 200 2
printf 'all\t1 2 3 4\tmoved 0\nlater\t1 3 4\tmoved 0\nold\t1 2 3 4\tmoved 0\n' >"$T/wanted"
check 'each VM serves its share; when one closes its listener the others serve, and its connections stay' \
  same "$T/wanted" "$T/run.out"
kill -TERM "$pid_vms"
ended vms
check 'SIGTERM closes the listeners of all VMs' [ $code -eq 0 ]
check 'nothing went wrong meanwhile' [ "$(grep -c ' error ' "$T/vms.err")" -eq 0 ]

serve first "$PORTICO" run --vms 1 "$T/server.lua" tcp://127.0.0.1:0 first
start second "$PORTICO" run --vms 1 "$T/server.lua" "$url" second
await second.err '^listening on ' || exit 1
run "$PORTICO" run "$T/client.lua" "$url" 100
check 'two programs share a port' [ "$(cat "$T/run.out")" = "$(printf 'all\tfirst second\tmoved 0')" ]
kill -TERM "$pid_first"
ended first
run "$PORTICO" run "$T/client.lua" "$url" 20
check 'when one has ended the other serves all' [ "$(cat "$T/run.out")" = "$(printf 'all\tsecond\tmoved 0')" ]
stop second

cat >"$T/disagree.lua" <<'LUA'
local portico = require "portico"
local with = portico.vm.id == tonumber(...)
local listener, message, code = portico.listen("tcp://127.0.0.1:0", { reuse_port = with })
if listener then return end
print(code, message)
portico.stop(0)
LUA
refusal='cannot listen on tcp://127.0.0.1:0: another VM listens there'
run "$PORTICO" run --vms 2 "$T/disagree.lua" 1
check 'a VM that does not reuse the port of one that does is told so' \
  [ "$(cat "$T/run.out")" = "$(printf 'EINVAL\t%s with reuse_port' "$refusal")" ]
run "$PORTICO" run --vms 2 "$T/disagree.lua" 2
check 'and the reverse' \
  [ "$(cat "$T/run.out")" = "$(printf 'EINVAL\t%s without reuse_port' "$refusal")" ]

# Each VM has its own shortage of descriptors, and its own line about it.
cat >"$T/echo.lua" <<'LUA'
local portico = require "portico"
local listener = assert(portico.listen("tcp://127.0.0.1:0", {
  reuse_port = true,
  on_data = function(conn, data) conn:send(data) end,
}))
if portico.vm.id == portico.vm.count then io.stderr:write("listening on " .. listener.url .. "\n") end
LUA
serve few sh -c 'ulimit -n 64; exec "$@"' - "$PORTICO" run --vms 4 "$T/echo.lua"
run "$PORTICO" run $E2E/crowd.lua "$url" 200 20
check '200 clients, 64 descriptors: all are served' [ "$(tail -n 1 "$T/run.out")" = 'served=200 held=20' ]
check 'the log names the VM' grep -q 'warn .*vm [1-4]: .*ulimit -n' "$T/few.err"
stop few
