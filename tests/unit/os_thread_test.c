/* os_thread_test.c - threads, mutexes, events, and looking at other threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#ifndef _WIN32
#include <signal.h>
#endif

#include "base/error.h"
#include "os/clock.h"
#include "os/thread.h"

static const int64_t patience_ns = 20LL * OS_NS_PER_S; /* far beyond what any step needs */

/* ---- mutex ---- */

enum { COUNTERS = 4, COUNT_TO = 20000 };

typedef struct counting {
  os_mutex lock;
  long     count; /* under lock, and not atomic: lost updates show if the lock does not exclude */
} counting;

static void count_up(void *arg) {
  counting *c = arg;
  for (int i = 0; i < COUNT_TO; i++) {
    os_mutex_lock(&c->lock);
    c->count++;
    os_mutex_unlock(&c->lock);
  }
}

static void a_mutex_lets_one_thread_in_at_a_time(void **state) {
  (void)state;
  counting  c = {.count = 0};
  os_thread threads[COUNTERS];
  os_mutex_init(&c.lock);
  for (int i = 0; i < COUNTERS; i++) assert_int_equal(os_thread_start(&threads[i], count_up, &c), 0);
  for (int i = 0; i < COUNTERS; i++) os_thread_join(&threads[i]);
  os_mutex_fini(&c.lock);
  assert_int_equal(c.count, COUNTERS * COUNT_TO);
}

/* ---- event ---- */

static int make_event(void **state) {
  os_event *e = malloc(sizeof *e);
  if (e == NULL || os_event_init(e) < 0) return -1;
  *state = e;
  return 0;
}

static int drop_event(void **state) {
  os_event_fini(*state);
  free(*state);
  return 0;
}

static void a_set_before_the_wait_is_not_lost(void **state) {
  os_event_set(*state);
  assert_true(os_event_wait(*state, OS_NS_PER_S));
}

static void several_sets_count_once(void **state) {
  os_event_set(*state);
  os_event_set(*state);
  assert_true(os_event_wait(*state, 0));
  assert_false(os_event_wait(*state, 0));
}

static void a_wait_without_time_only_looks(void **state) {
  int64_t start = os_clock_now();
  for (int i = 0; i < 100; i++) assert_false(os_event_wait(*state, 0));
  assert_true(os_clock_now() - start < OS_NS_PER_S);
}

static void a_wait_never_ends_early(void **state) {
  static const int64_t lengths_ns[] = {1, 999, 100000, 1000001, 15600001, 30000000};
  for (size_t i = 0; i < sizeof lengths_ns / sizeof lengths_ns[0]; i++) {
    int64_t start = os_clock_now();
    assert_false(os_event_wait(*state, lengths_ns[i]));
    assert_true(os_clock_now() - start >= lengths_ns[i]);
  }
}

static void an_event_can_be_used_after_a_time_out(void **state) {
  assert_false(os_event_wait(*state, OS_NS_PER_MS));
  os_event_set(*state);
  assert_true(os_event_wait(*state, OS_NS_PER_S));
  assert_false(os_event_wait(*state, 0));
}

static void the_longest_wait_ends_with_the_set(void **state) {
  os_event_set(*state);
  assert_true(os_event_wait(*state, INT64_MAX));
}

typedef struct rally {
  os_event ping, pong;
  int      missed; /* by the other side */
} rally;

enum { RALLY_ROUNDS = 2000 };

static void rally_answer(void *arg) {
  rally *r = arg;
  for (int i = 0; i < RALLY_ROUNDS; i++) {
    if (!os_event_wait(&r->ping, patience_ns)) r->missed++;
    os_event_set(&r->pong);
  }
}

static void two_threads_wake_each_other_without_losing_a_set(void **state) {
  (void)state;
  rally     r = {.missed = 0};
  os_thread other;
  int       missed = 0;
  assert_int_equal(os_event_init(&r.ping), 0);
  assert_int_equal(os_event_init(&r.pong), 0);
  assert_int_equal(os_thread_start(&other, rally_answer, &r), 0);
  for (int i = 0; i < RALLY_ROUNDS; i++) {
    os_event_set(&r.ping);
    if (!os_event_wait(&r.pong, -1)) missed++;
  }
  os_thread_join(&other);
  os_event_fini(&r.ping);
  os_event_fini(&r.pong);
  assert_int_equal(missed, 0);
  assert_int_equal(r.missed, 0);
}

/* ---- threads ---- */

static void set_to_seven(void *arg) {
  *(int *)arg = 7;
}

static void a_joined_thread_has_run_its_body(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    int       value = 0;
    os_thread t;
    assert_int_equal(os_thread_start(&t, set_to_seven, &value), 0);
    os_thread_join(&t);
    assert_int_equal(value, 7);
  }
}

static void never(void *arg) {
  *(int *)arg = -1;
}

static void exit_with_notice(void *arg) {
  os_thread_at_exit(never, arg);
  os_thread_at_exit(set_to_seven, arg);
}

static void a_thread_that_ends_runs_the_last_function_it_gave(void **state) {
  (void)state;
  int       value = 0;
  os_thread t;
  assert_int_equal(os_thread_start(&t, exit_with_notice, &value), 0);
  os_thread_join(&t);
  assert_int_equal(value, 7);
}

static void there_is_at_least_one_processor(void **state) {
  (void)state;
  assert_in_range(os_processors(), 1, 65536);
}

/* ---- looking at a thread ---- */

/* A thread to look at: it computes until told to rest, rests until told to end. */
typedef struct subject {
  os_thread      thread;
  os_thread_view view;
  os_event       opened, end;
  atomic_bool    rest; /* stop computing */
  atomic_bool    done; /* has left the loop below */
  os_interrupt   interrupt;
  atomic_int     interrupts;
} subject;

static void subject_interrupted(os_interrupt *i) {
  subject *s = (subject *)(void *)((char *)i - offsetof(subject, interrupt));
  atomic_fetch_add(&s->interrupts, 1);
  atomic_store(&s->rest, true);
}

static void subject_only_counts(os_interrupt *i) {
  subject *s = (subject *)(void *)((char *)i - offsetof(subject, interrupt));
  atomic_fetch_add(&s->interrupts, 1);
}

static void subject_live(void *arg) {
  subject *s = arg;
  os_thread_view_open(&s->view);
  os_event_set(&s->opened);
  while (!atomic_load_explicit(&s->rest, memory_order_relaxed)) {
  }
  atomic_store(&s->done, true);
  os_event_wait(&s->end, -1);
  os_thread_view_close(&s->view);
}

static int start_subject(void **state) {
  subject *s = calloc(1, sizeof *s);
  if (s == NULL || os_event_init(&s->opened) < 0 || os_event_init(&s->end) < 0) return -1;
  s->interrupt.run = subject_interrupted;
  if (os_thread_start(&s->thread, subject_live, s) < 0) return -1;
  *state = s;
  return os_event_wait(&s->opened, patience_ns) ? 0 : -1;
}

static int end_subject(void **state) {
  subject *s = *state;
  atomic_store(&s->rest, true);
  os_event_set(&s->end);
  os_thread_join(&s->thread);
  os_event_fini(&s->opened);
  os_event_fini(&s->end);
  free(s);
  return 0;
}

static void the_processor_time_of_a_busy_thread_grows(void **state) {
  subject *s = *state;
  int64_t  start = os_thread_cpu_ns(&s->view), deadline = os_clock_now() + patience_ns;
  assert_true(start >= 0);
  while (os_thread_cpu_ns(&s->view) < start + 30 * OS_NS_PER_MS) {
    assert_true(os_clock_now() < deadline);
    os_thread_yield();
  }
}

static void only_a_blocked_thread_is_asleep(void **state) {
  subject *s = *state;
#ifdef _WIN32
  assert_false(os_thread_asleep(&s->view));
  skip(); /* nothing public tells; the kernel counts blocked workers itself */
#endif
  for (int i = 0; i < 1000; i++) assert_false(os_thread_asleep(&s->view));
  int64_t deadline = os_clock_now() + patience_ns;
  atomic_store(&s->rest, true);
  while (!os_thread_asleep(&s->view)) {
    assert_true(os_clock_now() < deadline);
    os_thread_yield();
  }
}

static void a_blocked_thread_uses_no_processor_time(void **state) {
  subject *s = *state;
  atomic_store(&s->rest, true);
  int64_t before = -1, now = 0, deadline = os_clock_now() + patience_ns;
  while (now != before) { /* twice the same, 50 ms apart */
    assert_true(os_clock_now() < deadline);
    before = os_thread_cpu_ns(&s->view);
    for (int64_t start = os_clock_now(); os_clock_now() - start < 50 * OS_NS_PER_MS;) os_thread_yield();
    now = os_thread_cpu_ns(&s->view);
  }
}

static void an_interrupt_reaches_a_thread_that_computes(void **state) {
  subject *s = *state;
  int64_t  deadline = os_clock_now() + patience_ns;
  assert_int_equal(os_thread_interrupt(&s->view, 0, &s->interrupt), 0);
  while (!atomic_load(&s->done)) assert_true(os_clock_now() < deadline);
  assert_int_equal(atomic_load(&s->interrupts), 1);
}

static void every_interrupt_runs_once(void **state) {
  subject *s = *state;
  s->interrupt.run = subject_only_counts; /* so that it goes on computing */
  int64_t  deadline = os_clock_now() + patience_ns;
  for (int i = 1; i <= 200; i++) {
    assert_int_equal(os_thread_interrupt(&s->view, 0, &s->interrupt), 0);
    while (atomic_load(&s->interrupts) < i) assert_true(os_clock_now() < deadline);
  }
  assert_int_equal(atomic_load(&s->interrupts), 200);
}

static void a_thread_may_interrupt_itself(void **state) {
  (void)state;
  subject        s = {.interrupt.run = subject_interrupted};
  os_thread_view self;
  if (getenv("PORTICO_TEST_VALGRIND") != NULL) {
    print_message("skipped: valgrind delivers a signal some time later\n");
    skip();
  }
  os_thread_view_open(&self);
  int err = os_thread_interrupt(&self, 0, &s.interrupt);
  os_thread_view_close(&self);
  assert_int_equal(err, 0);
  assert_int_equal(atomic_load(&s.interrupts), 1);
}

#ifndef _WIN32
static void a_handler_of_the_program(int signo) {
  (void)signo;
}

static void a_signal_that_the_program_uses_is_left_alone(void **state) {
  subject *s = *state;
  int      signo = SIGRTMIN + 2;
  signal(signo, a_handler_of_the_program);
  assert_int_equal(os_thread_interrupt(&s->view, signo, &s->interrupt), PORTICO_EBUSY);
  assert_true(signal(signo, SIG_IGN) == a_handler_of_the_program);
  assert_int_equal(os_thread_interrupt(&s->view, signo, &s->interrupt), PORTICO_EBUSY);
  signal(signo, SIG_DFL);
  assert_int_equal(os_thread_interrupt(&s->view, signo, &s->interrupt), 0);
  signal(SIGRTMAX - 3, a_handler_of_the_program); /* takes back what we claimed in a test before */
  assert_int_equal(os_thread_interrupt(&s->view, 0, &s->interrupt), PORTICO_EBUSY);
  signal(SIGRTMAX - 3, SIG_DFL);
}

static void a_signal_that_cannot_be_handled_is_refused(void **state) {
  subject *s = *state;
  assert_int_equal(os_thread_interrupt(&s->view, SIGKILL, &s->interrupt), PORTICO_EINVAL);
  assert_int_equal(os_thread_interrupt(&s->view, 4711, &s->interrupt), PORTICO_EINVAL);
}

static void a_bare_signal_from_elsewhere_does_no_harm(void **state) {
  subject *s = *state;
  assert_int_equal(os_thread_interrupt(&s->view, 0, &s->interrupt), 0); /* claims it */
  assert_int_equal(raise(SIGRTMAX - 3), 0);
}
#endif

int main(void) {
#define WITH_EVENT(test) cmocka_unit_test_setup_teardown(test, make_event, drop_event)
#define WITH_SUBJECT(test) cmocka_unit_test_setup_teardown(test, start_subject, end_subject)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_mutex_lets_one_thread_in_at_a_time),
      WITH_EVENT(a_set_before_the_wait_is_not_lost),
      WITH_EVENT(several_sets_count_once),
      WITH_EVENT(a_wait_without_time_only_looks),
      WITH_EVENT(a_wait_never_ends_early),
      WITH_EVENT(an_event_can_be_used_after_a_time_out),
      WITH_EVENT(the_longest_wait_ends_with_the_set),
      cmocka_unit_test(two_threads_wake_each_other_without_losing_a_set),
      cmocka_unit_test(a_joined_thread_has_run_its_body),
      cmocka_unit_test(a_thread_that_ends_runs_the_last_function_it_gave),
      cmocka_unit_test(there_is_at_least_one_processor),
      WITH_SUBJECT(the_processor_time_of_a_busy_thread_grows),
      WITH_SUBJECT(only_a_blocked_thread_is_asleep),
      WITH_SUBJECT(a_blocked_thread_uses_no_processor_time),
      WITH_SUBJECT(an_interrupt_reaches_a_thread_that_computes),
      WITH_SUBJECT(every_interrupt_runs_once),
      cmocka_unit_test(a_thread_may_interrupt_itself),
#ifndef _WIN32
      WITH_SUBJECT(a_signal_that_the_program_uses_is_left_alone),
      WITH_SUBJECT(a_signal_that_cannot_be_handled_is_refused),
      WITH_SUBJECT(a_bare_signal_from_elsewhere_does_no_harm),
#endif
  };
  return cmocka_run_group_tests_name("os_thread", tests, NULL, NULL);
}
