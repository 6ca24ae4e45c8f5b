#!/bin/sh
# The standard libraries as scripts find them: coroutines, no bytecode, no os.exit; misspelt names of handlers.
. "$(dirname "$0")/lib.sh"

run "$PORTICO" run --vms 1 $E2E/library.lua "$T"
check "the script ran to its end" [ $code -eq 0 ]
