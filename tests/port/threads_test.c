/* threads_test.c - contract suite: which waiting worker is released, how many run, who counts (R17, R19 to R31). */
#include "loopback.h"
#include "worker.h"

/* Opens a port of that concurrency on a backend that honours it, or skips. */
static port *gated_port(fixture *f, unsigned concurrency) {
  port *p = fixture_port(f, concurrency);
  fixture_need(p, PORT_CAP_CONCURRENCY);
  return p;
}

static void post(port *p, unsigned key) {
  assert_int_equal(port_post(p, KEY(key), NULL, 0), 0);
}

/* A worker that runs: it has taken a packet of its own. */
static worker *running_worker(fixture *f, port *p) {
  worker *w = worker_start(f);
  post(p, 100);
  worker_get(w, p);
  assert_got(w, 100);
  return w;
}

/* A worker that waits, as the k-th. */
static worker *parked_worker(fixture *f, port *p, unsigned k) {
  worker *w = worker_start(f);
  worker_park(w, p, k);
  return w;
}

/* ---- R17: a batch ---- */

static void r17_a_batch_costs_one_unit_of_concurrency(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = worker_start(f), *b = worker_start(f);
  for (unsigned i = 1; i <= 5; i++) post(p, i);
  worker_get_n(a, p, 8, fixture_deadline());
  assert_true(worker_returned(a));
  assert_int_equal(worker_result_of(a)->count, 5);
  post(p, 6);
  worker_get_n(b, p, 1, MS(100));
  assert_got_error(b, PORTICO_ETIMEDOUT);
  worker_exit(b); /* after its time-out it counts as running (R26) */
  worker_get(a, p);
  assert_got(a, 6);
}

/* ---- R19, R20: the newest waiter, the hot worker ---- */

static void r19_waiters_are_released_newest_first(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 4);
  fixture_need(p, PORT_CAP_LIFO);
  worker *t1 = parked_worker(f, p, 1), *t2 = parked_worker(f, p, 2), *t3 = parked_worker(f, p, 3);
  post(p, 1);
  assert_got(t3, 1);
  post(p, 2);
  assert_got(t2, 2);
  post(p, 3);
  assert_got(t1, 3);
}

static void r19_a_worker_that_parks_again_is_the_newest(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 4);
  fixture_need(p, PORT_CAP_LIFO);
  worker *t1 = parked_worker(f, p, 1), *t2 = parked_worker(f, p, 2), *t3 = parked_worker(f, p, 3);
  for (unsigned i = 1; i <= 3; i++) post(p, i);
  assert_got(t3, 1);
  assert_got(t2, 2);
  assert_got(t1, 3);
  worker_park(t3, p, 1);
  worker_park(t1, p, 2);
  post(p, 4);
  assert_got(t1, 4);
  post(p, 5);
  assert_got(t3, 5);
}

/* A stream whose handler echoes each byte and keeps a record of who served it when. */
typedef struct echo {
  port_op      op;
  port_handle *h;
  char         byte;
  worker      *last; /* who served the message before */
  int64_t      last_ns;
  unsigned     hand_overs; /* messages served by another worker than the one before */
  unsigned     late;       /* messages that came so late that a poller had to be replaced meanwhile */
  atomic_uint  over;
} echo;

static void echo_note(echo *e, worker *w) {
  int64_t now_ns = os_clock_now();
  if (e->last != NULL && w != e->last) e->hand_overs++;
  if (e->last != NULL && now_ns - e->last_ns > 400 * OS_NS_PER_US) e->late++;
  e->last = w;
  e->last_ns = now_ns;
}

static void echo_on_packet(worker *w, const port_packet *packet, void *arg) {
  echo *e = arg;
  if (packet->err != 0 || packet->bytes == 0) {
    atomic_store(&e->over, 1);
    return;
  }
  echo_note(e, w);
  char byte = e->byte;
  port_recv(e->h, &e->op, BUF(&e->byte, 1), 1); /* first: were the next byte there already, a waiter would get it */
  port_try_send(e->h, BUF(&byte, 1), 1);
}

/* Port.h: a ping-pong over idle workers is served at least 95 % by one of them. On a busy machine the one that serves
 * may lose its processor for a while; then another takes over, and rightly so, and keeps it. */
static void r19_a_ping_pong_over_idle_workers_is_served_by_one_of_them(void **state) {
  enum { WORKERS = 8, MESSAGES = 2000 };
  fixture *f = *state;
  port    *p = fixture_port_monitored(f, WORKERS); /* without the monitor each poller that goes is replaced at once */
  worker  *workers[WORKERS];
  echo    *e = fixture_memory(f, sizeof *e);
  fixture_need(p, PORT_CAP_LIFO);
  pair c = loopback_pair(f, p, KEY(1));
  e->h = c.here;
  workers_serve(f, workers, WORKERS, p, echo_on_packet, e);
  assert_true(fixture_settles(p, WAITING, WORKERS));
  assert_int_equal(port_recv(c.here, &e->op, BUF(&e->byte, 1), 1), 0);
  for (unsigned i = 0; i < MESSAGES; i++) {
    char byte = (char)i;
    assert_true(peer_send(c.there, &byte, 1) && peer_recv(c.there, &byte, 1));
    assert_int_equal(byte, (char)i);
  }
  fixture_close_socket(f, c.there); /* ends the last receive */
  assert_true(fixture_counts(&e->over, 1));
  assert_true(workers_stop(workers, WORKERS, p));
  assert_in_range(e->hand_overs, 0, MESSAGES * 5 / 100 + 2 * e->late);
}

static void no_packet_work(worker *w, const port_packet *packet, void *arg) {
  (void)w, (void)packet, (void)arg;
}

static void r20_a_running_worker_takes_the_next_packet_itself(void **state) {
  enum { WORKERS = 3, PACKETS = 10000 };
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *hot = running_worker(f, p), *idle[WORKERS];
  workers_serve(f, idle, WORKERS, p, no_packet_work, NULL);
  assert_true(fixture_settles(p, WAITING, WORKERS));
  for (unsigned i = 0; i < PACKETS; i++) post(p, i + 1);
  worker_serve(hot, p, no_packet_work, NULL);
  assert_true(fixture_settles(p, QUEUED, 0));
  assert_true(fixture_settles(p, WAITING, WORKERS + 1));
  assert_in_range(worker_served(hot), PACKETS * 99 / 100, PACKETS);
}

/* ---- R21, R22: the concurrency value ---- */

typedef struct gate {
  atomic_bool open;
  atomic_uint running, started, most;
} gate;

static void gate_on_packet(worker *w, const port_packet *packet, void *arg) {
  gate    *g = arg;
  unsigned running = atomic_fetch_add(&g->running, 1) + 1;
  unsigned most = atomic_load(&g->most);
  (void)w, (void)packet;
  while (running > most && !atomic_compare_exchange_weak(&g->most, &most, running)) {}
  atomic_fetch_add(&g->started, 1);
  int64_t end = os_clock_now() + fixture_deadline();
  while (!atomic_load(&g->open) && os_clock_now() < end) os_thread_yield();
  atomic_fetch_sub(&g->running, 1);
}

/* Posts one packet for each of `workers` workers, whose handlers spin: only `limit` may start before others end. */
static void check_limit(fixture *f, port *p, unsigned workers, unsigned limit) {
  worker *pool[64];
  gate   *g = fixture_memory(f, sizeof *g);
  assert_true(workers <= COUNT_OF(pool));
  workers_serve(f, pool, workers, p, gate_on_packet, g);
  assert_true(fixture_settles(p, WAITING, workers));
  for (unsigned i = 0; i < workers; i++) post(p, i + 1);
  assert_true(fixture_counts(&g->started, limit));
  fixture_pause(fixture_quiet());
  unsigned started = atomic_load(&g->started);
  size_t   queued = fixture_stat_of(p, QUEUED);
  atomic_store(&g->open, true);
  assert_int_equal(started, limit);
  assert_int_equal(queued, workers - limit);
  assert_true(fixture_counts(&g->started, workers));
  assert_true(workers_stop(pool, workers, p));
  assert_int_equal(atomic_load(&g->most), limit);
}

static void r21_no_more_workers_run_than_the_concurrency_value(void **state) {
  fixture *f = *state;
  check_limit(f, gated_port(f, 2), 4, 2);
}

static void r22_zero_means_the_processors_of_the_process(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 0);
  unsigned processors = os_processors();
  assert_int_equal(port_concurrency(p), processors);
  fixture_need(p, PORT_CAP_CONCURRENCY);
  if (processors <= 32) check_limit(f, p, processors + 2, processors);
}

static void r22_a_huge_value_lets_all_run(void **state) {
  fixture *f = *state;
  check_limit(f, fixture_port(f, 0xFFFFFFFFu), 8, 8);
}

/* ---- R23 to R25: blocking ---- */

static void r23_a_worker_that_blocks_releases_a_waiter(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  post(p, 1);
  assert_true(worker_stays(b));
  assert_int_equal(fixture_stat_of(p, QUEUED), 1);
  worker_enter(a);
  assert_got(b, 1);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
}

static void r24_a_worker_that_goes_on_may_be_one_too_many(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_enter(a);
  post(p, 1);
  assert_got(b, 1);
  worker_leave(a); /* returns, though b runs */
  assert_true(fixture_settles(p, ACTIVE, 2));
}

static void r25_the_excess_drains(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  worker_enter(a);
  post(p, 1);
  assert_got(b, 1);
  worker_leave(a);
  post(p, 2);
  worker_get(a, p); /* b runs, so a must wait though a packet is there */
  assert_true(worker_stays(a));
  assert_int_equal(fixture_stat_of(p, QUEUED), 1);
  worker_get(b, p);
  assert_got(b, 2);
  assert_true(worker_stays(a));
}

/* ---- R26 to R29: who counts ---- */

static void r26_a_worker_counts_after_a_time_out_until_it_waits_again(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *b = parked_worker(f, p, 1), *a = worker_start(f);
  assert_false(worker_look(a, p));
  post(p, 1);
  assert_true(worker_stays(b));
  worker_get(a, p); /* the hot one takes it */
  assert_got(a, 1);
  assert_true(worker_stays(b));
}

static void r27_threads_that_never_waited_do_not_count(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  worker  *b = parked_worker(f, p, 1);
  post(p, 1); /* this thread runs */
  assert_got(b, 1);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 1);
}

static void r28_waiting_on_another_port_moves_the_membership(void **state) {
  fixture *f = *state;
  port    *p1 = gated_port(f, 1), *p2 = fixture_port(f, 1);
  worker  *a = running_worker(f, p1), *b = parked_worker(f, p1, 1);
  post(p1, 1);
  assert_true(worker_stays(b));
  worker_park(a, p2, 1);
  assert_got(b, 1);
  post(p2, 2);
  assert_got(a, 2);
  assert_int_equal(fixture_stat_of(p1, ACTIVE), 1);
  assert_int_equal(fixture_stat_of(p2, ACTIVE), 1);
  post(p1, 3);
  worker_get(a, p1); /* back again it has no older rights: b runs */
  assert_true(worker_stays(a));
  assert_int_equal(fixture_stat_of(p2, ACTIVE), 0);
  worker_get(b, p1);
  assert_got(b, 3);
}

static void r29_a_thread_that_exits_frees_its_place(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *b = parked_worker(f, p, 1);
  post(p, 1);
  assert_true(worker_stays(b));
  worker_exit(a);
  assert_got(b, 1);
}

/* ---- R30, R31: a surprise, and no herd ---- */

static void r30_at_the_limit_a_wait_times_out_though_packets_are_queued(void **state) {
  fixture *f = *state;
  port    *p = gated_port(f, 1);
  worker  *a = running_worker(f, p), *c = worker_start(f);
  post(p, 1);
  assert_false(worker_look(c, p));
  assert_int_equal(worker_result_of(c)->count, PORTICO_ETIMEDOUT);
  worker_get_n(c, p, 1, MS(100));
  assert_got_error(c, PORTICO_ETIMEDOUT);
  assert_int_equal(fixture_stat_of(p, QUEUED), 1);
  worker_exit(c);
  worker_get(a, p);
  assert_got(a, 1);
}

static void r31_one_packet_releases_one_worker(void **state) {
  enum { WORKERS = 16 };
  fixture *f = *state;
  port    *p = fixture_port(f, WORKERS);
  worker  *pool[WORKERS];
  gate    *g = fixture_memory(f, sizeof *g);
  workers_serve(f, pool, WORKERS, p, gate_on_packet, g);
  assert_true(fixture_settles(p, WAITING, WORKERS));
  post(p, 1);
  assert_true(fixture_counts(&g->started, 1));
  fixture_pause(fixture_quiet());
  unsigned started = atomic_load(&g->started);
  size_t   waiting = fixture_stat_of(p, WAITING);
  atomic_store(&g->open, true);
  assert_int_equal(started, 1);
  assert_int_equal(waiting, WORKERS - 1);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r17_a_batch_costs_one_unit_of_concurrency),
      CASE(r19_waiters_are_released_newest_first),
      CASE(r19_a_worker_that_parks_again_is_the_newest),
      CASE(r19_a_ping_pong_over_idle_workers_is_served_by_one_of_them),
      CASE(r20_a_running_worker_takes_the_next_packet_itself),
      CASE(r21_no_more_workers_run_than_the_concurrency_value),
      CASE(r22_zero_means_the_processors_of_the_process),
      CASE(r22_a_huge_value_lets_all_run),
      CASE(r23_a_worker_that_blocks_releases_a_waiter),
      CASE(r24_a_worker_that_goes_on_may_be_one_too_many),
      CASE(r25_the_excess_drains),
      CASE(r26_a_worker_counts_after_a_time_out_until_it_waits_again),
      CASE(r27_threads_that_never_waited_do_not_count),
      CASE(r28_waiting_on_another_port_moves_the_membership),
      CASE(r29_a_thread_that_exits_frees_its_place),
      CASE(r30_at_the_limit_a_wait_times_out_though_packets_are_queued),
      CASE(r31_one_packet_releases_one_worker),
  };
  return cmocka_run_group_tests_name("threads", cases, NULL, NULL);
}
