/* port_queue_posix_test.c - a queue is freed only when each operation that was started has ended. Broken invariants
 * abort, so what breaks one runs in a process of its own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "port/port_queue.h"

static void on_wake(void *backend) {
  (void)backend;
}

static const port_source source = {.wake = on_wake};

/* Starts operations on a queue, ends some of them, and frees it. */
static void live_through(unsigned starts, unsigned ends) {
  port_queue   q;
  packet_node  nodes[4] = {0};
  packet_list  ended = {0};
  port_options options = {.concurrency = 1};
  assert_int_equal(port_queue_init(&q, NULL, &options, &source, NULL), 0);
  for (unsigned i = 0; i < starts; i++) port_queue_started(&q);
  for (unsigned i = 0; i < ends; i++) packet_list_append(&ended, &nodes[i]);
  port_queue_complete(&q, &ended);
  assert_int_equal(port_queue_close(&q, NULL, NULL), ends);
  port_queue_fini(&q);
}

/* True if that ends in a failed CHECK. */
static bool fails(unsigned starts, unsigned ends) {
  fflush(NULL);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(2); /* what the CHECK says is expected */
    signal(SIGABRT, SIG_DFL);
    live_through(starts, ends);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void operations_that_have_all_ended_leave_the_queue_free_to_go(void **state) {
  (void)state;
  live_through(0, 0);
  live_through(3, 3);
}

static void an_operation_that_was_lost_is_noticed(void **state) {
  (void)state;
  assert_true(fails(3, 2));
}

static void an_operation_that_ended_twice_is_noticed(void **state) {
  (void)state;
  assert_true(fails(2, 3));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(operations_that_have_all_ended_leave_the_queue_free_to_go),
      cmocka_unit_test(an_operation_that_was_lost_is_noticed),
      cmocka_unit_test(an_operation_that_ended_twice_is_noticed),
  };
  return cmocka_run_group_tests_name("port_queue", tests, NULL, NULL);
}
