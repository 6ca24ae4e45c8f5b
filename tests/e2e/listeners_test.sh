# Many VMs listen on the same addresses at the same moment, while the program runs: one opens each, the others share it.
. "$(dirname "$0")/lib.sh"
[ "$PORTICO_OS" = linux ] || skip 'it uses many loopback addresses, which Wine does not have'

for round in 1 2 3; do
  run "$PORTICO" run --vms 8 --workers 8 --concurrency 8 $E2E/listeners.lua
  check "8 VMs, 100 addresses at once, round $round: $(head -n 1 "$T/run.err")" [ $code -eq 0 ]
done
