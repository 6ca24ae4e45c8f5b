/* stream.c - src/net, its streams and its listener, in a simulated network: tests/sim/nets.c, with the input's bytes
 * for decisions. PORTICO_FUZZ_TRACE=1 prints all that happens. */
#include "fuzz.h"
#include "run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  run_choices(RUN_NETS, data, len, getenv("PORTICO_FUZZ_TRACE") != NULL);
  return 0;
}
