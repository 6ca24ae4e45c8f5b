/* storm_test.c - contract suite: everything at once and nothing lost (R33). */
#include "loopback.h"
#include "worker.h"

typedef struct storm {
  port       *p;
  unsigned    posts;
  atomic_uint taken;
} storm;

static void storm_on_packet(worker *w, const port_packet *packet, void *arg) {
  storm *s = arg;
  (void)w;
  if (packet->bytes % 7 == 0) {
    port_block_enter();
    os_thread_yield();
    if (packet->bytes % 35 == 0) port_block_enter(), port_block_leave();
    port_block_leave();
  }
  atomic_fetch_add(&s->taken, 1);
}

static void storm_post(worker *w, void *arg) {
  storm *s = arg;
  (void)w;
  for (unsigned i = 0; i < s->posts; i++) port_post(s->p, KEY(1), NULL, i);
}

static void r33_no_wake_up_is_lost_in_a_storm(void **state) {
  enum { WORKERS = 8, POSTERS = 3 };
  fixture *f = *state;
  port    *p = fixture_port(f, 2);
  storm   *s = fixture_memory(f, sizeof *s);
  worker  *pool[WORKERS], *posters[POSTERS];
  s->p = p;
  s->posts = fixture_rounds(33334);
  workers_serve(f, pool, WORKERS, p, storm_on_packet, s);
  for (unsigned i = 0; i < POSTERS; i++) posters[i] = worker_start(f), worker_run(posters[i], storm_post, s);
  for (unsigned i = 0; i < POSTERS; i++) assert_true(worker_returned(posters[i]));
  assert_true(fixture_counts(&s->taken, POSTERS * s->posts));
  assert_true(fixture_settles(p, WAITING, WORKERS));
  assert_int_equal(fixture_stat_of(p, QUEUED), 0);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 0);
  assert_int_equal(atomic_load(&s->taken), POSTERS * s->posts);
}

/* Workers that look for a moment only and come back: a packet must not fall between time-out and release. */
typedef struct flicker {
  port       *p;
  atomic_uint taken;
  atomic_bool stop;
} flicker;

static void flicker_get(worker *w, void *arg) {
  flicker    *s = arg;
  unsigned    turn = 0;
  port_packet packet;
  (void)w;
  while (!atomic_load(&s->stop)) {
    if (port_get(s->p, &packet, 1, turn++ % 30 * 2000) == 1) atomic_fetch_add(&s->taken, 1);
  }
}

static void r33_no_packet_falls_between_time_out_and_release(void **state) {
  enum { WORKERS = 4 };
  fixture *f = *state;
  port    *p = fixture_port(f, WORKERS);
  flicker *s = fixture_memory(f, sizeof *s);
  worker  *workers[WORKERS];
  unsigned posts = fixture_rounds(20000);
  s->p = p;
  for (unsigned i = 0; i < WORKERS; i++) workers[i] = worker_start(f), worker_run(workers[i], flicker_get, s);
  for (unsigned i = 0; i < posts; i++) {
    assert_int_equal(port_post(p, KEY(1), NULL, i), 0);
    if (i % 3 == 0) os_thread_yield();
  }
  bool all = fixture_counts(&s->taken, posts);
  atomic_store(&s->stop, true);
  for (unsigned i = 0; i < WORKERS; i++) assert_true(worker_returned(workers[i]));
  assert_true(all);
  assert_int_equal(atomic_load(&s->taken), posts);
  assert_int_equal(fixture_stat_of(p, WAITING), 0);
}

/* One connection of the mixed storm: its handler echoes, and now and then blocks, posts or sets a timer. */
typedef struct line {
  port        *p;
  port_handle *h;
  os_socket    there;
  port_op      ready, timer;
  unsigned     messages; /* to be sent by the client */
  atomic_bool  ticking;  /* the timer is pending */
  atomic_uint  echoed, over;
  atomic_uint  extras_due, extras; /* posts and timers: started, come */
} line;

static void line_echo(line *l) {
  char        scratch[64];
  const void *data;
  int64_t     n = port_take(l->h, &l->ready, scratch, sizeof scratch, &data);
  if (n == 0 || (n < 0 && n != PORTICO_EAGAIN)) {
    atomic_store(&l->over, 1);
    return;
  }
  if (n > 0) {
    port_try_send(l->h, BUF((void *)data, (size_t)n), 1);
    unsigned echoed = atomic_fetch_add(&l->echoed, (unsigned)n);
    if (echoed % 5 == 0) {
      atomic_fetch_add(&l->extras_due, 1);
      port_post(l->p, l, NULL, 1);
    }
    if (!atomic_exchange(&l->ticking, true)) {
      atomic_fetch_add(&l->extras_due, 1);
      port_timer(l->p, &l->timer, l, os_clock_now() + 50000);
    }
    if (echoed % 7 == 0) port_block_enter(), fixture_pause(20000), port_block_leave();
  }
  port_recv_ready(l->h, &l->ready);
}

static void line_on_packet(worker *w, const port_packet *packet, void *arg) {
  line *l = packet->key;
  (void)w, (void)arg;
  if (packet->op == &l->ready) {
    line_echo(l);
  } else {
    atomic_fetch_add(&l->extras, 1);
    if (packet->op == &l->timer) atomic_store(&l->ticking, false);
  }
}

enum { LINES_PER_CLIENT = 6 };

static void line_client(worker *w, void *arg) {
  line *lines = arg;
  (void)w;
  for (unsigned i = 0; i < lines[0].messages; i++) {
    char byte = (char)i;
    for (unsigned k = 0; k < LINES_PER_CLIENT; k++) peer_send(lines[k].there, &byte, 1);
    for (unsigned k = 0; k < LINES_PER_CLIENT; k++) {
      if (!peer_recv(lines[k].there, &byte, 1)) return;
    }
  }
  for (unsigned k = 0; k < LINES_PER_CLIENT; k++) os_socket_shutdown_send(lines[k].there);
}

static void check_mixed_storm(fixture *f, port *p) {
  enum { WORKERS = 6, CLIENTS = 2, LINES = CLIENTS * LINES_PER_CLIENT };
  worker *pool[WORKERS], *clients[CLIENTS];
  line   *lines = fixture_memory(f, LINES * sizeof *lines);
  workers_serve(f, pool, WORKERS, p, line_on_packet, NULL);
  for (unsigned i = 0; i < LINES; i++) {
    pair c = loopback_pair(f, p, &lines[i]);
    lines[i].p = p;
    lines[i].h = c.here;
    lines[i].there = c.there;
    lines[i].messages = fixture_rounds(1000);
    assert_int_equal(port_recv_ready(c.here, &lines[i].ready), 0);
  }
  for (unsigned i = 0; i < CLIENTS; i++) {
    clients[i] = worker_start(f);
    worker_run(clients[i], line_client, &lines[i * LINES_PER_CLIENT]);
  }
  for (unsigned i = 0; i < CLIENTS; i++) assert_true(worker_returned(clients[i]));
  for (unsigned i = 0; i < LINES; i++) {
    assert_true(fixture_counts(&lines[i].over, 1));
    assert_int_equal(atomic_load(&lines[i].echoed), lines[i].messages);
    assert_true(fixture_counts(&lines[i].extras, atomic_load(&lines[i].extras_due)));
  }
  assert_true(fixture_settles(p, WAITING, WORKERS));
  assert_int_equal(fixture_stat_of(p, PENDING), 0);
  assert_int_equal(fixture_stat_of(p, QUEUED), 0);
}

static void r33_no_wake_up_is_lost_when_all_kinds_of_packets_mix(void **state) {
  fixture *f = *state;
  check_mixed_storm(f, fixture_port(f, 2));
}

static void r33_no_wake_up_is_lost_with_the_monitor_either(void **state) {
  fixture *f = *state;
  check_mixed_storm(f, fixture_port_monitored(f, 2));
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r33_no_wake_up_is_lost_in_a_storm),
      CASE(r33_no_packet_falls_between_time_out_and_release),
      CASE(r33_no_wake_up_is_lost_when_all_kinds_of_packets_mix),
      CASE(r33_no_wake_up_is_lost_with_the_monitor_either),
  };
  return cmocka_run_group_tests_name("storm", cases, NULL, NULL);
}
