/* faults_test.c - whatever call fails, the host starts or says why, serves or drops the connection, and ends whole.
 *   PORTICO_FAULT="CALL ERRNO N once|on SCENARIO"   only that one: the n-th call of a kind fails with that number, and
 *                                                   with `on` all after it; a sanitizer shows where it was made
 *   PORTICO_SEED=S                                  only that seed
 *   PORTICO_FAULTS_ALL=1                            every single n, and many more seeds: takes minutes */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sized.h"
#include "faults/fault.h"
#include "faults/scenario.h"
#include "folder.h"
#include "portico.h"

enum { SEEDS = 300, SEEDS_ALL = 2500, RATE = 12, N_MAX = 100000, STEP = 5, STEP_ON = 7, STEP_ON_ALL = 3 };
enum { STRIDE = SIZED(1, 10) }; /* of all steps: with tiny sizes there are many more calls */

static unsigned long injected;                             /* by the test that runs */
static unsigned long allocations_failed, calls_failed; /* in total */

static bool everything(void) {
  return getenv("PORTICO_FAULTS_ALL") != NULL;
}

/* One run in which the n-th call fails. result: how many have failed; 0 = there are not so many, and all went well */
static unsigned long run_with(const scenario *s, fault_call call, int err, unsigned long n, bool on) {
  char what[200];
  snprintf(what, sizeof what, "PORTICO_FAULT=\"%s %d %lu %s %s\"", fault_name(call), err, n, on ? "on" : "once",
           s->name);
  fault_plan(call, err, n, on);
  bool          well = scenario_run(s, what);
  unsigned long failed = fault_end();
  injected += failed;
  *(call == FAULT_ALLOCATE ? &allocations_failed : &calls_failed) += failed;
  if (failed == 0 && !well) fail_msg("nothing was made to fail, and yet not all went well: %s", what);
  return failed;
}

/* Every step-th n, until a whole run has too few calls for it. */
static void run_for_every_n(const scenario *s, fault_call call, int err, bool on, unsigned long step) {
  for (unsigned long n = 1; n < N_MAX && run_with(s, call, err, n, on) > 0; n += step * STRIDE) continue;
}

static const scenario scenarios[] = {
    {"plain", "epoll", 1, 1, "", false},
    {"crowded", "epoll", 2, 2, "", false},
    {"apart", "epoll", 2, 2, "reuse_port = true", false},
    {"recorded", "epoll", 1, 1, "", true},
    {"ringed", "uring", 1, 1, "", false},
    {"rings", "uring", 2, 2, "", false},
};
enum { PLAIN, CROWDED, APART, RECORDED, RINGED, RINGS, SCENARIOS };

static int run_one(const char *one) {
  char          name[32], how[8], where[32];
  int           err;
  unsigned long n;
  if (sscanf(one, "%31s %d %lu %7s %31s", name, &err, &n, how, where) != 5) {
    fprintf(stderr, "PORTICO_FAULT=\"CALL ERRNO N once|on SCENARIO\", not '%s'\n", one);
    return 2;
  }
  fault_show();
  for (int call = 0; call < FAULT_COUNT; call++) {
    for (int i = 0; i < SCENARIOS; i++) {
      if (strcmp(name, fault_name(call)) != 0 || strcmp(where, scenarios[i].name) != 0) continue;
      printf("%lu failed\n", run_with(&scenarios[i], call, err, n, strcmp(how, "on") == 0));
    }
  }
  return 0;
}

static void report(void) {
  print_message("%lu calls were made to fail\n", injected);
  injected = 0;
}

static void fail_each_allocation(const scenario *s) {
  run_for_every_n(s, FAULT_ALLOCATE, fault_error(FAULT_ALLOCATE, 0), false, everything() ? 1 : STEP);
  run_for_every_n(s, FAULT_ALLOCATE, fault_error(FAULT_ALLOCATE, 0), true, /* and all that follow */
                  everything() ? STEP_ON_ALL : STEP_ON);
  report();
}

static void each_allocation_fails(void **state) {
  (void)state;
  fail_each_allocation(&scenarios[PLAIN]);
}

static void each_allocation_fails_with_two_vms(void **state) {
  (void)state;
  fail_each_allocation(&scenarios[CROWDED]);
}

static void each_allocation_fails_with_a_listener_for_each_vm(void **state) {
  (void)state;
  fail_each_allocation(&scenarios[APART]);
}

static void each_allocation_fails_while_it_records(void **state) {
  (void)state;
  fail_each_allocation(&scenarios[RECORDED]);
}

/* False also where the kernel, seccomp or a limit refuses it, and epoll would serve. */
static bool ring_is_there(void) {
  portico_config config = PORTICO_CONFIG_DEFAULT;
  config.backend = scenarios[RINGED].backend;
  portico_host *h;
  portico_info  info = {.backend = "none"};
  if (portico_open(&config, &h) == 0) {
    portico_get_info(h, &info);
    portico_close(h);
  }
  return strcmp(info.backend, scenarios[RINGED].backend) == 0;
}

/* Those on io_uring come last. */
static int scenarios_here(void) {
  return ring_is_there() ? SCENARIOS : RINGED;
}

static void each_allocation_fails_on_io_uring(void **state) {
  (void)state;
  if (ring_is_there()) {
    fail_each_allocation(&scenarios[RINGED]);
    if (everything()) fail_each_allocation(&scenarios[RINGS]);
    return;
  }
  print_message("skipped: no io_uring here\n");
  skip();
}

static void each_system_call_fails_with_each_error(void **state) {
  (void)state;
  for (int call = FAULT_ALLOCATE + 1; call < FAULT_RING_RESULT; call++) { /* which is for one thread only */
    for (unsigned i = 0; fault_error(call, i) != 0; i++) {
      run_for_every_n(&scenarios[PLAIN], call, fault_error(call, i), false, 1);
      for (int s = CROWDED; everything() && s < scenarios_here(); s++) {
        run_for_every_n(&scenarios[s], call, fault_error(call, i), false, 1);
      }
    }
  }
  report();
}

static void each_call_for_files_fails_while_it_records(void **state) {
  (void)state;
  static const fault_call calls[] = {FAULT_OPEN, FAULT_WRITE_FILE, FAULT_CLOSE, FAULT_THREAD};
  for (size_t call = 0; call < sizeof calls / sizeof calls[0]; call++) {
    for (unsigned i = 0; fault_error(calls[call], i) != 0; i++) {
      run_for_every_n(&scenarios[RECORDED], calls[call], fault_error(calls[call], i), false, 1);
    }
  }
  report();
}

static void system_calls_fail_at_random(void **state) {
  (void)state;
  const char *one = getenv("PORTICO_SEED");
  uint64_t    from = one != NULL ? strtoull(one, NULL, 10) : 1;
  uint64_t    end = from + (one != NULL ? 1 : everything() ? SEEDS_ALL : SEEDS);
  uint64_t scenario_count = (uint64_t)scenarios_here();
  for (uint64_t seed = from; seed < end; seed++) {
    char what[64];
    snprintf(what, sizeof what, "PORTICO_SEED=%llu", (unsigned long long)seed);
    fault_plan_random(seed, RATE);
    scenario_run(&scenarios[seed % scenario_count], what);
    unsigned long failed = fault_end();
    injected += failed;
    calls_failed += failed;
  }
  report();
}

/* ---- files that are found and loaded ---- */

enum { FILES = 20, ARGS = 2 };

static void make_file(const folder *in, unsigned number, char path[FOLDER_PATH_BYTES]) {
  char name[32];
  snprintf(name, sizeof name, "%u.lua", number);
  folder_file(in, name, path);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs("return 1\n", f);
  fclose(f);
}

static void count_file(const char *path, void *arg) {
  (void)path;
  ++*(int *)arg;
}

static int find_once(const folder *in) {
  char path[FOLDER_PATH_BYTES];
  int  seen = 0;
  folder_file(in, "", path); /* with a slash at its end */
  int found = portico_find_files(path, ".lua", count_file, &seen);
  assert_int_equal(seen, found < 0 ? 0 : FILES);
  return found;
}

static int load_once(const char *path) {
  static const char *const args[ARGS] = {"one", "two"};
  portico_config           config = PORTICO_CONFIG_DEFAULT;
  portico_host            *h = NULL;
  int                      err = portico_open(&config, &h);
  if (err == 0) err = portico_load_file(h, path, ARGS, args);
  portico_close(h);
  return err;
}

static void a_search_or_a_load_without_memory_says_so(void **state) {
  (void)state;
  folder        in;
  char          paths[FILES][FOLDER_PATH_BYTES];
  unsigned long failed = 1;
  assert_int_equal(folder_make(&in), 0);
  for (unsigned i = 0; i < FILES; i++) make_file(&in, i, paths[i]);
  for (unsigned what = 0; what < 2; what++, failed = 1) {
    for (unsigned long n = 1; failed > 0; n++) {
      long before = fault_outstanding();
      fault_plan(FAULT_ALLOCATE, ENOMEM, n, false);
      int err = what == 0 ? find_once(&in) : load_once(paths[0]);
      failed = fault_end();
      assert_true(failed == 0 ? err >= 0 : what == 1 || err == PORTICO_ENOMEM);
      assert_int_equal(fault_outstanding(), before);
      allocations_failed += failed;
    }
  }
  for (unsigned i = 0; i < FILES; i++) remove(paths[i]);
  assert_int_equal(folder_remove(&in), 0);
}

int main(void) {
  const char *one = getenv("PORTICO_FAULT");
  if (one != NULL) return run_one(one);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_search_or_a_load_without_memory_says_so),
      cmocka_unit_test(each_allocation_fails),
      cmocka_unit_test(each_allocation_fails_with_two_vms),
      cmocka_unit_test(each_allocation_fails_with_a_listener_for_each_vm),
      cmocka_unit_test(each_allocation_fails_while_it_records),
      cmocka_unit_test(each_allocation_fails_on_io_uring),
      cmocka_unit_test(each_system_call_fails_with_each_error),
      cmocka_unit_test(each_call_for_files_fails_while_it_records),
      cmocka_unit_test(system_calls_fail_at_random),
  };
  const struct CMUnitTest seed[] = {cmocka_unit_test(system_calls_fail_at_random)};
  int failed = getenv("PORTICO_SEED") != NULL ? cmocka_run_group_tests(seed, NULL, NULL)
                                              : cmocka_run_group_tests(tests, NULL, NULL);
  printf("in total: %lu allocations and %lu system calls were made to fail\n", allocations_failed, calls_failed);
  return failed;
}
