/* port.c - the completion port in a simulated network: streams, datagrams, timers, posts and cancels of tests/sim, with
 * the input's bytes for decisions. PORTICO_FUZZ_TRACE=1 prints all that happens. */
#include "fuzz.h"
#include "run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  run_choices(RUN_PORT, data, len, getenv("PORTICO_FUZZ_TRACE") != NULL);
  return 0;
}
