/* main.c - runs seeds: sim [--from SEED] [--seeds COUNT] [--trace] */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { MAIN_TWICE = 20 }; /* of the seeds, one in so many runs twice */

static volatile sig_atomic_t main_seed_high, main_seed_low; /* of the seed that runs, for who is told of an abort */

/* What is tested has aborted, and a CHECK that did so has said why; or it has crashed. */
static void main_on_abort(int signo) {
  (void)signo;
  uint64_t seed = (uint64_t)(uint32_t)main_seed_high << 32 | (uint32_t)main_seed_low;
  fflush(stdout);
  fprintf(stderr, "seed %" PRIu64 " failed; again, with all that happens: sim --from %" PRIu64 " --seeds 1 --trace\n",
          seed, seed);
  _Exit(1);
}

static uint64_t main_number(const char *text) {
  char    *end;
  uint64_t value = text == NULL ? 0 : strtoull(text, &end, 10);
  if (text != NULL && end != text && *end == '\0') return value;
  fprintf(stderr, "usage: sim [--from SEED] [--seeds COUNT] [--trace]\n");
  exit(2);
}

static uint64_t main_run(uint64_t seed, bool trace) {
  main_seed_high = (sig_atomic_t)(seed >> 32);
  main_seed_low = (sig_atomic_t)(seed & UINT32_MAX);
  return run_seed(seed, trace);
}

int main(int argc, char **argv) {
  uint64_t from = 1, count = 100, hash = 0;
  bool     trace = false;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--trace") == 0) trace = true;
    else if (strcmp(argv[i], "--from") == 0) from = main_number(argv[++i]);
    else if (strcmp(argv[i], "--seeds") == 0) count = main_number(argv[++i]);
    else main_number(NULL);
  }
  signal(SIGABRT, main_on_abort);
#ifndef __SANITIZE_ADDRESS__ /* which tells more */
  signal(SIGSEGV, main_on_abort);
#endif
  for (uint64_t seed = from; seed < from + count; seed++) {
    uint64_t one = main_run(seed, trace);
    if (!trace && seed % MAIN_TWICE == 0 && main_run(seed, false) != one) {
      fprintf(stderr, "seed %" PRIu64 " failed: a second run was another one\n", seed);
      return 1;
    }
    hash = (hash ^ one) * 0x100000001b3;
  }
  printf("%" PRIu64 " seeds from %" PRIu64 ": hash %016" PRIx64 "\n", count, from, hash);
  return 0;
}
