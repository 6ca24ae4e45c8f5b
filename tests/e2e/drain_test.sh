# SIGTERM and Ctrl-C with 1000 live connections: no new ones, the old ones may end, exit code 0.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'Wine does not pass signals on to Windows programs'
ulimit -n 2048 2>/dev/null || skip "1000 clients need more files than this shell may open (ulimit -n is $(ulimit -n))"

# The server has taken the first signal once it refuses connections.
await_refusal() {
  tries=0
  while [ $tries -lt 500 ]; do
    "$PORTICO" run send "$server" >"$T/try.out" 2>"$T/try.err" || return 0
    tries=$((tries + 1))
  done
  fail 'the server never stopped accepting'
}
hold() { # CLIENTS
  server=$url
  serve holders "$PORTICO" run --vms 1 $E2E/holders.lua "$server" "$1"
  control=$url
  await holders.out '^all are answered' || exit 1
}
tell() { "$PORTICO" run send "$control" --message "$1" >"$T/tell.out"; }

serve echo "$PORTICO" run --grace 60 echo tcp://127.0.0.1:0
hold 1000
kill -TERM "$pid_echo"
await_refusal
pass 'after SIGTERM new connections are refused'
tell ask
await holders.out '^all are answered: 2000' && pass 'the 1000 old ones are still served'
tell leave
ended holders
ended echo
check 'it ends with 0 when they have gone, long before the grace is over' [ $code -eq 0 ]
check 'all ended in order' grep -qx 'ended=1000 orderly=1000' "$T/holders.out"

serve echo "$PORTICO" run --grace 0.5 echo tcp://127.0.0.1:0
hold 1000
kill -INT "$pid_echo"
ended echo
check 'SIGINT: connections that stay are ended after the grace, exit code 0' [ $code -eq 0 ]
ended holders
check 'in order' grep -qx 'ended=1000 orderly=1000' "$T/holders.out"

serve echo "$PORTICO" run --grace 60 echo tcp://127.0.0.1:0
hold 10
kill -TERM "$pid_echo"
await_refusal
kill -TERM "$pid_echo"
ended echo
check 'a second SIGTERM stops at once, exit code 0' [ $code -eq 0 ]
ended holders
check 'the connections end too' grep -q '^ended=10 ' "$T/holders.out"

cat >"$T/blocked.lua" <<'LUA'
local portico = require "portico"
local listener = assert(portico.listen("tcp://127.0.0.1:0", {
  on_data = function() io.stderr:write("blocked\n") os.execute("exec sleep 40") end,
}))
if portico.vm.id == 1 then io.stderr:write("listening on " .. listener.url .. "\n") end
LUA
serve blocked "$PORTICO" run --vms 1 --grace 60 "$T/blocked.lua"
server=$url
start client "$PORTICO" run send "$url"
await blocked.err '^blocked'
kill -TERM "$pid_blocked"
await_refusal
kill -TERM "$pid_blocked"
began=$(date +%s)
ended blocked
check 'a handler that hangs in the kernel does not hold up the second one' \
  [ $code -eq 0 -a $(($(date +%s) - began)) -lt 15 ]
stop client

echo 'require("portico").every(0.01, function() print("ticking") end)' >"$T/ticks.lua"
start ticks "$PORTICO" run "$T/ticks.lua"
await ticks.out ticking
kill -TERM "$pid_ticks"
ended ticks
check 'a script that only has timers ends as well' [ $code -eq 0 ]
