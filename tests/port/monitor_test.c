/* monitor_test.c - contract suite: workers that block, said with a bracket or noticed by the monitor (R23 to R25 and
 * section 3.3 of port-semantics.md), and a poller that stays away. */
#include "loopback.h"
#include "worker.h"

enum { TRIES = 5 }; /* a busy machine may be late now and then, but not each time */

static void post(port *p, unsigned key) {
  assert_int_equal(port_post(p, KEY(key), NULL, 0), 0);
}

static worker *running_worker(fixture *f, port *p) {
  worker *w = worker_start(f);
  post(p, 100);
  worker_get(w, p);
  assert_got(w, 100);
  return w;
}

static worker *parked_worker(fixture *f, port *p, unsigned k) {
  worker *w = worker_start(f);
  worker_park(w, p, k);
  return w;
}

static port *gated_port(fixture *f, unsigned concurrency) {
  port *p = fixture_port(f, concurrency);
  fixture_need(p, PORT_CAP_CONCURRENCY);
  return p;
}

static port *watched_port(fixture *f, unsigned concurrency) {
  port *p = fixture_port_monitored(f, concurrency);
  fixture_need(p, PORT_CAP_CONCURRENCY | PORT_CAP_MONITOR);
  return p;
}

/* ---- brackets ---- */

static void r23_brackets_nest(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_enter(a);
  worker_enter(a);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 0);
  worker_leave(a);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 0);
  post(p, 1);
  assert_got(b, 1); /* the outer one still holds */
  worker_leave(a);
  assert_true(fixture_settles(p, ACTIVE, 2));
}

static void bracket_on_a_strange_thread(worker *w, void *arg) {
  (void)w, (void)arg;
  port_block_enter();
  port_block_enter();
  port_block_leave();
  port_block_leave();
}

static void r23_a_bracket_does_nothing_on_a_thread_that_no_port_knows(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1), *stranger = worker_start(f);
  post(p, 1);
  worker_run(stranger, bracket_on_a_strange_thread, NULL);
  assert_true(worker_returned(stranger));
  assert_true(worker_stays(b));
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
  worker_get(a, p);
  assert_got(a, 1);
}

static void r29_a_worker_that_exits_inside_a_bracket_is_not_counted_off_twice(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1), *c = parked_worker(f, p, 2);
  worker_enter(a);
  worker_exit(a);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 0);
  post(p, 1);
  post(p, 2);
  assert_got(c, 1);
  assert_true(worker_stays(b)); /* still only one at a time */
  worker_get(c, p);
  assert_got(c, 2);
}

static void r23_when_all_have_blocked_packets_wait_without_a_spin(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p);
  worker_enter(a);
  for (unsigned i = 1; i <= 3; i++) post(p, i);
  assert_int_equal(fixture_stat_of(p, QUEUED), 3);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 0);
  worker_leave(a);
  for (unsigned i = 1; i <= 3; i++) {
    worker_get(a, p);
    assert_got(a, i);
  }
}

static void leave_without_enter(worker *w, void *arg) {
  (void)w, (void)arg;
  port_block_leave();
}

static void r23_a_leave_without_an_enter_changes_nothing(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p);
  worker_run(a, leave_without_enter, NULL);
  assert_true(worker_returned(a));
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
}

/* A wait inside a bracket: the worker runs from then on, and the end of the bracket does not count it twice. */
static void look_inside_a_bracket(worker *w, void *arg) {
  port_packet packet;
  (void)w;
  port_block_enter();
  port_get(arg, &packet, 1, 0);
  port_block_leave();
}

static void r23_a_wait_inside_a_bracket_ends_what_it_said(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p);
  worker_run(a, look_inside_a_bracket, p);
  assert_true(worker_returned(a));
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
}

/* ---- the monitor ---- */

typedef struct sleeper {
  port    *p;
  os_event wake;
  int      posted;
} sleeper;

/* One try: a sleeps in its handler, b waits, X is posted. Returns how long X waited, or -1 if it was not served. */
static int64_t served_while_asleep(fixture *f, port *p) {
  worker *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_sleep(a);
  int64_t posted_ns = os_clock_now();
  post(p, 1);
  bool    served = worker_returned(b) && worker_result_of(b)->count == 1;
  int64_t took_ns = worker_result_of(b)->ended_ns - posted_ns;
  worker_exit(a);
  worker_exit(b);
  return served ? took_ns : -1;
}

static void r23_the_monitor_releases_a_waiter_when_a_worker_sleeps(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  int64_t  best = INT64_MAX;
  for (unsigned i = 0; i < TRIES && best > MS(50); i++) {
    int64_t took = served_while_asleep(f, p);
    assert_true(took >= 0);
    best = took < best ? took : best;
  }
  assert_true(best <= MS(50));
}

static void r23_without_monitor_and_bracket_a_sleeper_counts_as_running(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  if ((port_caps(p) & PORT_CAP_MONITOR) != 0) {
    print_message("skipped: the kernel itself notices blocked workers here\n");
    skip();
  }
  worker *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_sleep(a);
  post(p, 1);
  fixture_pause(MS(240));
  assert_true(worker_stays(b));
  worker_wake(a);
  worker_get(a, p);
  assert_got(a, 1);
}

static void r24_a_presumed_sleeper_that_wakes_counts_again(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_sleep(a);
  post(p, 1);
  assert_got(b, 1);
  worker_wake(a);
  worker_park(a, p, 1); /* b runs */
  post(p, 2);
  assert_true(worker_stays(a));
  worker_get(b, p);
  assert_got(b, 2);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
}

static void r25_a_presumed_sleeper_that_runs_on_counts_though_it_says_nothing(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1), *c = parked_worker(f, p, 2);
  worker_sleep(a);
  post(p, 1);
  assert_got(c, 1);
  post(p, 2); /* stays queued, since c runs */
  assert_true(worker_stays(b)); /* a is still asleep, however often it is looked at */
  worker_wake(a);
  assert_true(fixture_settles(p, ACTIVE, 2));
  worker_get(c, p);
  assert_true(worker_stays(c)); /* a is running */
  worker_get(a, p);
  assert_got(a, 2);
  assert_true(worker_stays(b));
}

static void r29_a_presumed_sleeper_that_exits_is_not_counted_off_twice(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1), *c = parked_worker(f, p, 2);
  worker_sleep(a);
  post(p, 1);
  assert_got(c, 1);
  worker_exit(a);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
  post(p, 2);
  assert_true(worker_stays(b));
  worker_get(c, p);
  assert_got(c, 2);
}

static void r23_the_monitor_and_a_bracket_do_not_count_twice(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_sleep(a);
  post(p, 1);
  assert_got(b, 1);
  worker_enter(a); /* presumed before, declared now */
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
  worker_leave(a);
  assert_true(fixture_settles(p, ACTIVE, 2));
}

/* Asleep in the kernel until told, then posts: with its port call it runs again, whether it was seen to or not. */
static void sleep_then_post(worker *w, void *arg) {
  sleeper *s = arg;
  (void)w;
  os_event_wait(&s->wake, fixture_deadline());
  s->posted = port_post(s->p, KEY(9), NULL, 0);
}

static void r24_a_presumed_sleeper_that_posts_counts_again(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  sleeper *s = fixture_memory(f, sizeof *s);
  s->p = p;
  assert_int_equal(os_event_init(&s->wake), 0);
  worker_run(a, sleep_then_post, s);
  post(p, 1);
  assert_got(b, 1); /* nobody waits now, so that the monitor looks at nobody */
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
  os_event_set(&s->wake);
  assert_true(worker_returned(a));
  os_event_fini(&s->wake);
  assert_int_equal(s->posted, 0);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 2);
  worker_get(b, p);
  assert_true(worker_stays(b)); /* the packet is there, but a runs */
  worker_get(a, p);
  assert_got(a, 9);
}

static void r23_a_sleeper_is_noticed_however_often_it_comes_back(void **state) {
  enum { ROUNDS = 6 };
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  for (unsigned i = 0; i < ROUNDS; i++) {
    assert_true(served_while_asleep(f, p) >= 0);
    fixture_pause(MS(260)); /* longer than what counts as the same trouble */
  }
}

static void r21_the_monitor_leaves_a_spinning_worker_alone(void **state) {
  fixture *f = *state;
  port    *p = watched_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  post(p, 1);
  fixture_pause(MS(240));
  assert_true(worker_stays(b));
  worker_get(a, p);
  assert_got(a, 1);
}

static void hog(worker *w, void *stop) {
  (void)w;
  int64_t end = os_clock_now() + fixture_deadline();
  while (!atomic_load((atomic_bool *)stop) && os_clock_now() < end) {}
}

static void r21_the_monitor_does_not_take_a_starved_worker_for_a_sleeper(void **state) {
  enum { HOGS = 4 };
  fixture     *f = *state;
  port        *p = watched_port(f, 1);
  worker      *a = running_worker(f, p), *b = parked_worker(f, p, 1), *hogs[HOGS];
  atomic_bool *stop = fixture_memory(f, sizeof *stop);
  for (unsigned i = 0; i < HOGS; i++) hogs[i] = worker_start(f), worker_run(hogs[i], hog, stop);
  post(p, 1);
  fixture_pause(MS(240));
  bool stays = worker_stays(b);
  atomic_store(stop, true);
  for (unsigned i = 0; i < HOGS; i++) assert_true(worker_returned(hogs[i]));
  assert_true(stays);
  worker_get(a, p);
  assert_got(a, 1);
}

/* ---- a poller that stays away ---- */

/* One try: a is the only one that polls, takes a packet of its own and goes on running; then bytes arrive for a receive
 * and b is there to serve them. Returns how long that took. */
static int64_t served_while_the_poller_runs(fixture *f, port *p, bool b_came_first) {
  pair     c = loopback_pair(f, p, KEY(7));
  port_op *ops = fixture_ops(f, 2);
  char    *data = fixture_memory(f, 2);
  assert_int_equal(port_recv(c.here, &ops[0], BUF(data, 1), 1), 0);
  worker *a = b_came_first ? NULL : parked_worker(f, p, 1);
  worker *b = parked_worker(f, p, b_came_first ? 1 : 2);
  if (b_came_first) a = parked_worker(f, p, 2);
  assert_true(peer_send(c.there, "1", 1)); /* one of the two serves it, and runs on */
  assert_true(fixture_settles(p, WAITING, 1));
  assert_int_equal(port_recv(c.here, &ops[1], BUF(data + 1, 1), 1), 0);
  int64_t sent_ns = os_clock_now();
  assert_true(peer_send(c.there, "2", 1));
  assert_got(a, 7);
  assert_got(b, 7);
  int64_t a_ns = worker_result_of(a)->ended_ns, b_ns = worker_result_of(b)->ended_ns;
  worker_exit(a);
  worker_exit(b);
  fixture_close(f, c.here);
  return (a_ns > b_ns ? a_ns : b_ns) - sent_ns;
}

static void check_replaced(fixture *f, port *p) {
  for (unsigned order = 0; order < 2; order++) {
    int64_t best = INT64_MAX;
    for (unsigned i = 0; i < TRIES && best > MS(50); i++) {
      int64_t took = served_while_the_poller_runs(f, p, order == 1);
      best = took < best ? took : best;
    }
    assert_true(best <= MS(50));
  }
}

static void r21_a_poller_that_runs_on_is_replaced(void **state) {
  fixture *f = *state;
  check_replaced(f, fixture_port_monitored(f, 2));
}

static void r21_a_poller_that_runs_on_is_replaced_without_monitor_too(void **state) {
  fixture *f = *state;
  check_replaced(f, fixture_port(f, 2));
}

/* a polls and b waits; a serves one message and does not come back; the next message must reach b. */
static void check_blocked_poller(fixture *f, port *p, void (*block)(worker *w)) {
  pair     c = loopback_pair(f, p, KEY(7));
  worker  *a = parked_worker(f, p, 1), *b = parked_worker(f, p, 2);
  port_op *ops = pair_start_receives(f, c.here, 2);
  assert_true(peer_send(c.there, "1", 1));
  assert_got(a, 7);
  assert_ptr_equal(worker_result_of(a)->packets[0].op, &ops[0]);
  block(a);
  assert_true(peer_send(c.there, "2", 1));
  assert_got(b, 7);
  assert_ptr_equal(worker_result_of(b)->packets[0].op, &ops[1]);
}

static void r23_a_poller_that_blocks_is_replaced(void **state) {
  fixture *f = *state;
  check_blocked_poller(f, gated_port(f, 1), worker_enter);
}

static void r23_a_poller_that_sleeps_is_replaced(void **state) {
  fixture *f = *state;
  check_blocked_poller(f, watched_port(f, 1), worker_sleep);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r23_brackets_nest),
      CASE(r23_a_bracket_does_nothing_on_a_thread_that_no_port_knows),
      CASE(r29_a_worker_that_exits_inside_a_bracket_is_not_counted_off_twice),
      CASE(r23_when_all_have_blocked_packets_wait_without_a_spin),
      CASE(r23_a_leave_without_an_enter_changes_nothing),
      CASE(r23_a_wait_inside_a_bracket_ends_what_it_said),
      CASE(r23_the_monitor_releases_a_waiter_when_a_worker_sleeps),
      CASE(r23_without_monitor_and_bracket_a_sleeper_counts_as_running),
      CASE(r24_a_presumed_sleeper_that_wakes_counts_again),
      CASE(r25_a_presumed_sleeper_that_runs_on_counts_though_it_says_nothing),
      CASE(r29_a_presumed_sleeper_that_exits_is_not_counted_off_twice),
      CASE(r23_the_monitor_and_a_bracket_do_not_count_twice),
      CASE(r24_a_presumed_sleeper_that_posts_counts_again),
      CASE(r23_a_sleeper_is_noticed_however_often_it_comes_back),
      CASE(r21_the_monitor_leaves_a_spinning_worker_alone),
      CASE(r21_the_monitor_does_not_take_a_starved_worker_for_a_sleeper),
      CASE(r21_a_poller_that_runs_on_is_replaced),
      CASE(r21_a_poller_that_runs_on_is_replaced_without_monitor_too),
      CASE(r23_a_poller_that_blocks_is_replaced),
      CASE(r23_a_poller_that_sleeps_is_replaced),
  };
  return cmocka_run_group_tests_name("monitor", cases, NULL, NULL);
}
