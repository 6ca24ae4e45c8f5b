# Handlers that raise, never end or eat memory: the connection ends, the log says where, and all others go on.
. "$(dirname "$0")/lib.sh"

serve faulty "$PORTICO" run --vms 1 --budget 200 --memory 16 $E2E/faulty_server.lua
no_cr "$T/faulty.out"
address() { sed -n "s/^$1 //p" "$T/faulty.out"; }
still_serving() {
  run "$PORTICO" run send "$(address echo)" --message alive --receive -
  [ "$(cat "$T/run.out")" = alive ]
}
check 'before anything' still_serving

for event in on_open on_data on_end on_drain on_close; do
  run "$PORTICO" run send "$(address $event)"
  await faulty.err "faulty_server.lua:[0-9]*: boom in $event" && pass "$event raises: the log names the line"
done
check 'with a traceback' grep -q '^ *.*stack traceback' "$T/faulty.err"
run "$PORTICO" run send "$(address every)"
await faulty.err "boom in every on_open" && pass 'every handler raises'
await faulty.err "boom in every on_close" && pass 'even the last one, once'
check 'no handler runs between the two' [ "$(grep -c 'boom in every on_[ded]' "$T/faulty.err")" -eq 0 ]
for kind in odd none deep; do
  run "$PORTICO" run send "$(address $kind)"
  check "an error of kind '$kind': the client is told" [ $code -eq 1 -o $kind = none ]
done
run "$PORTICO" run send "$(address timer)" --receive -
check 'timers that raise' grep -q 'this is a long' "$T/run.out"
check 'go on' [ "$(grep -c 'boom in every[^ ]*$' "$T/faulty.err")" -ge 2 ]
check 'the server is well' still_serving

endless='loop caught coroutine'
if thread_sanitizer; then
  echo 'not checked: endless loops, for the thread sanitizer holds back the signal that ends them'
  endless=
fi
for kind in $endless; do
  lines=$(grep -c '' "$T/faulty.err")
  run "$PORTICO" run send "$(address $kind)"
  check "$kind: the connection ends" [ $code -eq 1 ]
  tail -n +$((lines + 1)) "$T/faulty.err" >"$T/new"
  check "$kind: the log has file and line" grep -q "faulty_server.lua:[0-9]*" "$T/new"
  check "$kind: and a traceback" grep -q 'stack traceback' "$T/new"
  check "$kind: the server is well" still_serving
done
for kind in memory one_string; do
  run "$PORTICO" run send "$(address $kind)"
  check "$kind: the connection ends" [ $code -eq 1 ]
  if usual slow "$kind: it is out of time before it is out of memory"; then
    check "$kind: the log says so" grep -q 'memory' "$T/faulty.err"
  fi
  check "$kind: the server is well" still_serving
done
stop faulty

[ -n "$endless" ] || exit 0
serve faulty "$PORTICO" run --vms 2 --concurrency 2 --budget 3000 $E2E/faulty_server.lua
no_cr "$T/faulty.out"
start looper "$PORTICO" run send "$(address loop)"
await faulty.err '^looping'
check 'while one VM loops, the other serves' still_serving
ended looper
check 'the loop was stopped' [ $code -eq 1 ]
stop faulty
