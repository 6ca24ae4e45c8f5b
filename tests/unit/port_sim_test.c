/* port_sim_test.c - which backends there are inside a simulated network, and outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/sim.h"
#include "port/port.h"

static int open_error(const char *backend, char *out_why) {
  port        *p = NULL;
  port_options options = {.backend = backend, .concurrency = 1, .out_why = out_why};
  int          err = port_open(&options, &p);
  if (err < 0) return err;
  port_close(p, NULL, NULL);
  port_unref(p);
  return 0;
}

static void outside_of_a_world_there_is_no_sim(void **state) {
  char why[PORT_WHY_BYTES] = "";
  (void)state;
  for (unsigned i = 0; port_backend_name(i) != NULL; i++) assert_string_not_equal(port_backend_name(i), "sim");
  assert_int_equal(open_error("sim", why), PORTICO_ENOTSUP);
  assert_string_equal(why, "this thread is in no simulated network");
  assert_int_equal(open_error("sim", NULL), PORTICO_ENOTSUP);
}

static void inside_of_one_there_is_nothing_else(void **state) {
  char        why[PORT_WHY_BYTES] = "";
  const char *real = port_backend_name(0);
  os_sim     *w;
  (void)state;
  assert_int_equal(os_sim_open(&(os_sim_options){.seed = 1}, &w), 0);
  os_sim_enter(w);
  assert_string_equal(port_backend_name(0), "sim");
  assert_null(port_backend_name(1));
  assert_int_equal(open_error(NULL, NULL), 0);
  assert_int_equal(open_error("auto", NULL), 0);
  assert_int_equal(open_error("sim", NULL), 0);
  assert_int_equal(open_error(real, why), PORTICO_ENOTSUP);
  assert_non_null(strstr(why, "simulated network"));
  os_sim_leave();
  os_sim_close(w);
  assert_int_equal(open_error(real, NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(outside_of_a_world_there_is_no_sim),
      cmocka_unit_test(inside_of_one_there_is_nothing_else),
  };
  return cmocka_run_group_tests_name("port_sim", tests, NULL, NULL);
}
