#!/bin/sh
# Runs a test program under valgrind's memcheck; ctest calls it by itself in the preset `valgrind`.
#   valgrind.sh PROGRAM [ARGS...]      exit code 9: it did to memory what it may not, or left some behind
# Threads run one at a time here: they have to take turns fairly, and the port suite does fewer rounds.
export PORTICO_TEST_VALGRIND=1
exec valgrind -q --fair-sched=yes --error-exitcode=9 --leak-check=full \
  --errors-for-leak-kinds=definite,indirect,possible "$@"
