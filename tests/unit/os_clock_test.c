/* os_clock_test.c - the clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "os/clock.h"

static void the_clock_never_goes_back(void **state) {
  (void)state;
  int64_t before = os_clock_now();
  for (int i = 0; i < 100000; i++) {
    int64_t now = os_clock_now();
    assert_true(now >= before);
    before = now;
  }
}

static void the_clock_goes_on_by_itself(void **state) {
  (void)state;
  int64_t start = os_clock_now();
  time_t  deadline = time(NULL) + 10;
  while (os_clock_now() - start < 20 * OS_NS_PER_MS) assert_true(time(NULL) < deadline);
}

static void the_clock_counts_nanoseconds(void **state) {
  (void)state;
  int64_t start = os_clock_now(), unix_start = os_clock_unix_ns();
  while (os_clock_now() - start < 100 * OS_NS_PER_MS) {
  }
  int64_t unix_passed = os_clock_unix_ns() - unix_start;
  assert_true(unix_passed > 80 * OS_NS_PER_MS);    /* wide, for somebody may be setting the wall clock; */
  assert_true(unix_passed < 5LL * OS_NS_PER_S);    /* a wrong unit would be wrong by far more */
}

static void unix_time_agrees_with_the_c_library(void **state) {
  (void)state;
  int64_t ours = os_clock_unix_ns() / OS_NS_PER_S;
  assert_true(llabs((long long)ours - (long long)time(NULL)) <= 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_clock_never_goes_back),
      cmocka_unit_test(the_clock_goes_on_by_itself),
      cmocka_unit_test(the_clock_counts_nanoseconds),
      cmocka_unit_test(unix_time_agrees_with_the_c_library),
  };
  return cmocka_run_group_tests_name("os_clock", tests, NULL, NULL);
}
