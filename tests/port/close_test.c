/* close_test.c - contract suite: closing ports and handles, teardown, trouble with clients (R42, R44, R45, R50, R51,
 * R63). */
#include "loopback.h"
#include "worker.h"

#include <stdlib.h>

/* ---- R42, R44: closing a port ---- */

static void r42_closing_a_port_releases_every_waiter(void **state) {
  enum { WORKERS = 4 };
  fixture *f = *state;
  port    *p = fixture_port(f, 2);
  worker  *workers[WORKERS];
  for (unsigned i = 0; i < WORKERS; i++) {
    workers[i] = worker_start(f);
    worker_get_n(workers[i], p, 1, PORT_WAIT_FOREVER);
  }
  assert_true(fixture_settles(p, WAITING, WORKERS));
  int64_t closed_ns = os_clock_now(), last_ns = 0;
  assert_int_equal(fixture_close_port(f, p, NULL, NULL), 0);
  for (unsigned i = 0; i < WORKERS; i++) {
    assert_got_error(workers[i], PORTICO_ECLOSED);
    int64_t ended_ns = worker_result_of(workers[i])->ended_ns;
    last_ns = ended_ns > last_ns ? ended_ns : last_ns;
  }
  assert_true(last_ns - closed_ns < fixture_soon());
  assert_int_equal(fixture_stat_of(p, WAITING), 0);
  assert_int_equal(fixture_stat_of(p, ACTIVE), 0);
}

typedef struct drops {
  unsigned    count;
  port_packet packets[16];
} drops;

static void note_drop(const port_packet *packet, void *arg) {
  drops *d = arg;
  if (d->count < COUNT_OF(d->packets)) d->packets[d->count] = *packet;
  d->count++;
}

static void r44_queued_packets_are_handed_over_when_the_port_closes(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  drops    d = {0};
  for (unsigned i = 0; i < 10; i++) assert_int_equal(port_post(p, KEY(i + 1), (void *)KEY(i + 2), i + 3), 0);
  assert_int_equal(fixture_close_port(f, p, note_drop, &d), 10);
  assert_int_equal(d.count, 10);
  for (unsigned i = 0; i < 10; i++) {
    const port_packet *q = &d.packets[i];
    assert_true(q->key == KEY(i + 1) && q->op == (void *)KEY(i + 2) && q->bytes == i + 3 && q->err == 0);
  }
  assert_int_equal(fixture_stat_of(p, QUEUED), 0);
}

static void r44_without_a_callback_they_are_counted(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  for (unsigned i = 0; i < 10; i++) assert_int_equal(port_post(p, KEY(i), NULL, 0), 0);
  assert_int_equal(fixture_close_port(f, p, NULL, NULL), 10);
}

static void r44_a_queued_packet_of_io_is_handed_over_too(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  drops    d = {0};
  assert_true(pair_deliver(&c, "x"));
  port_op *op = pair_start_receives(f, c.here, 1);
  assert_true(fixture_settles(p, QUEUED, 1));
  assert_int_equal(fixture_close_port(f, p, note_drop, &d), 1);
  assert_true(d.packets[0].op == op && d.packets[0].err == 0 && d.packets[0].bytes == 1);
}

/* ---- R45: closing a handle ---- */

static void r45_closing_a_handle_ends_each_pending_op_once(void **state) {
  enum { RECEIVES = 3, SEND_BYTES = 1 << 20 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = pair_start_receives(f, c.here, RECEIVES), *send = fixture_op(f);
  unsigned seen[RECEIVES + 1] = {0};
  pair_fill(&c);
  assert_int_equal(port_send(c.here, send, BUF(fixture_memory(f, SEND_BYTES), SEND_BYTES), 1), 0);
  assert_int_equal(fixture_stat_of(p, PENDING), RECEIVES + 1);
  fixture_close(f, c.here);
  for (unsigned i = 0; i < RECEIVES + 1; i++) {
    port_packet packet = take_packet(p);
    assert_ptr_equal(packet.key, KEY(1));
    assert_int_equal(packet.err, PORTICO_ECANCELED);
    if (packet.op != send) assert_int_equal(packet.bytes, 0);
    seen[packet.op == send ? RECEIVES : packet.op - ops]++;
  }
  for (unsigned i = 0; i < RECEIVES + 1; i++) assert_int_equal(seen[i], 1);
  expect_silence(p);
}

static void r45_closing_ends_accepts_connects_and_waits_for_input(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at), *udp = loopback_datagram(f, p, KEY(3), &at);
  pair         c = loopback_pair(f, p, KEY(2));
  port_op     *ops = fixture_ops(f, 3);
  char        *byte = fixture_memory(f, 1);
  assert_int_equal(port_accept(listener, &ops[0]), 0);
  fixture_close(f, listener);
  expect_packet(p, KEY(1), &ops[0], 0, PORTICO_ECANCELED);
  assert_int_equal(port_recv_ready(c.here, &ops[1]), 0);
  fixture_close(f, c.here);
  expect_packet(p, KEY(2), &ops[1], 0, PORTICO_ECANCELED);
  assert_int_equal(port_recv_from(udp, &ops[2], BUF(byte, 1), 1, NULL), 0);
  fixture_close(f, udp);
  expect_packet(p, KEY(3), &ops[2], 0, PORTICO_ECANCELED);
  expect_silence(p);
}

static void r45_closing_an_idle_handle_queues_nothing(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  fixture_close(f, c.here);
  assert_true(peer_at_end(c.there));
  expect_silence(p);
}

static void r45_an_aborted_stream_resets_its_peer(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = pair_start_receives(f, c.here, 1);
  fixture_abort(f, c.here);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECANCELED);
  assert_true(peer_was_reset(c.there));
}

static void r45_a_handler_may_close_the_handle_that_it_handles(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = pair_start_receives(f, c.here, 2);
  assert_true(peer_send(c.there, "x", 1));
  expect_packet(p, KEY(1), &ops[0], 1, 0);
  fixture_close(f, c.here);
  expect_packet(p, KEY(1), &ops[1], 0, PORTICO_ECANCELED);
  expect_silence(p);
}

/* ---- R50, R51: threads that go, teardown ---- */

typedef struct starter {
  port_handle *h;
  port_op     *op;
  char         byte;
  int          err;
} starter;

static void starter_recv(worker *w, void *arg) {
  starter *s = arg;
  (void)w;
  s->err = port_recv(s->h, s->op, BUF(&s->byte, 1), 1);
}

static void r50_an_op_survives_the_thread_that_started_it(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 2);
  pair     c = loopback_pair(f, p, KEY(1));
  starter *s = fixture_memory(f, sizeof *s);
  worker  *w = worker_start(f);
  *s = (starter){.h = c.here, .op = fixture_op(f)};
  assert_false(worker_look(w, p)); /* a member of the port, too */
  worker_run(w, starter_recv, s);
  assert_true(worker_returned(w));
  worker_exit(w);
  assert_int_equal(s->err, 0);
  fixture_pause(fixture_quiet());
  assert_true(peer_send(c.there, "x", 1));
  expect_packet(p, KEY(1), s->op, 1, 0);
  assert_int_equal(s->byte, 'x');
}

/* One end of a connection whose both ends are on the port and echo what they get: it never comes to rest. */
typedef struct echoer {
  port_op      recv, send;
  os_mutex     lock;
  port_handle *h;       /* under lock; NULL = closed */
  unsigned     pending; /* under lock; whoever sees h NULL and this 0 frees the memory */
  char         data[512];
  atomic_uint *freed;
} echoer;

static void echoer_start_locked(echoer *e, port_op *op, size_t len) {
  int err = op == &e->send ? port_send(e->h, op, BUF(e->data, len), 1) : port_recv(e->h, op, BUF(e->data, len), 1);
  if (err == 0) e->pending++;
}

static void echoer_unlock(echoer *e) {
  bool over = e->h == NULL && e->pending == 0;
  os_mutex_unlock(&e->lock);
  if (!over) return;
  atomic_fetch_add(e->freed, 1);
  os_mutex_fini(&e->lock);
  free(e);
}

static void echoer_on_packet(worker *w, const port_packet *packet, void *arg) {
  echoer *e = packet->key;
  (void)w, (void)arg;
  os_mutex_lock(&e->lock);
  e->pending--;
  bool more = e->h != NULL && packet->err == 0 && packet->bytes > 0;
  if (more && packet->op == &e->recv) echoer_start_locked(e, &e->send, packet->bytes);
  if (more && packet->op == &e->send) echoer_start_locked(e, &e->recv, sizeof e->data);
  echoer_unlock(e);
}

static echoer *echoer_new(fixture *f, port *p, os_socket s, atomic_uint *freed) {
  echoer *e = calloc(1, sizeof *e);
  assert_non_null(e);
  os_mutex_init(&e->lock);
  e->freed = freed;
  e->h = fixture_handle(f, s, PORT_STREAM, p, e);
  os_mutex_lock(&e->lock);
  echoer_start_locked(e, &e->recv, sizeof e->data);
  echoer_unlock(e);
  return e;
}

static void echoer_close(fixture *f, echoer *e) {
  os_mutex_lock(&e->lock);
  fixture_close(f, e->h);
  e->h = NULL;
  echoer_unlock(e);
}

static void r51_the_safe_order_ends_a_busy_server(void **state) {
  enum { WORKERS = 4, ENDS = 200 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 2);
  worker      *workers[WORKERS];
  echoer      *ends[ENDS];
  unsigned     count = fixture_slow() ? ENDS / 4 : ENDS;
  atomic_uint *freed = fixture_memory(f, sizeof *freed);
  workers_serve(f, workers, WORKERS, p, echoer_on_packet, NULL);
  for (unsigned i = 0; i < count; i += 2) {
    os_socket s[2];
    loopback_sockets(f, s);
    assert_true(peer_send(s[0], "ping pong", 9));
    ends[i] = echoer_new(f, p, s[0], freed);
    ends[i + 1] = echoer_new(f, p, s[1], freed);
  }
  fixture_pause(MS(20)); /* all is on the move */
  for (unsigned i = 0; i < count; i++) echoer_close(f, ends[i]);
  assert_true(fixture_counts(freed, count));
  assert_true(fixture_settles(p, PENDING, 0));
  assert_true(fixture_settles(p, WAITING, WORKERS));
  assert_true(workers_stop(workers, WORKERS, p));
  assert_int_equal(fixture_close_port(f, p, NULL, NULL), 0);
}

/* ---- R63: trouble with clients ---- */

/* Keeps accepting until the connection of that client comes; closes the others. Returns the accepted socket. */
static os_socket accept_until(fixture *f, port *p, port_handle *listener, port_op *op, os_socket client) {
  os_addr own, peer;
  assert_int_equal(os_socket_local(client, &own), 0);
  for (;;) {
    port_packet packet = take_packet(p);
    if (packet.err == 0) {
      os_socket s = fixture_own(f, port_accepted(op, &peer));
      if (os_addr_port(&peer) == os_addr_port(&own)) return s;
      fixture_close_socket(f, s);
    }
    assert_int_equal(port_accept(listener, op), 0);
  }
}

static void r63_clients_that_vanish_do_not_hurt_the_listener(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  assert_int_equal(port_accept(listener, op), 0);
  for (unsigned i = 0; i < 100; i++) peer_reset(f, loopback_client(f, &at));
  os_socket client = loopback_client(f, &at);
  pair      c = {.there = client};
  c.here = fixture_handle(f, accept_until(f, p, listener, op, client), PORT_STREAM, p, KEY(2));
  port_op *recv = pair_start_receives(f, c.here, 1);
  assert_true(peer_send(client, "x", 1));
  expect_packet(p, KEY(2), recv, 1, 0);
}

static void r63_a_lack_of_descriptors_fails_one_accept_only(void **state) {
  enum { LIMIT = 32768 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  os_socket    client = loopback_socket(f, OS_TCP), last = OS_SOCKET_NONE, s;
  unsigned     opened = 0;
  if (strcmp(port_name(p), "iocp") == 0) {
    print_message("skipped: it would take the descriptors of the whole wineserver\n");
    skip();
  }
  if (getenv("PORTICO_TEST_VALGRIND") != NULL) {
    print_message("skipped: valgrind has descriptors, and a limit for them, of its own\n");
    skip();
  }
  assert_int_equal(port_accept(listener, op), 0);
  for (; opened < LIMIT && os_socket_open(OS_UDP, &at, &s) == 0; opened++) last = fixture_own(f, s);
  if (opened == LIMIT) {
    print_message("skipped: more than %u descriptors allowed (try ulimit -n 1024)\n", (unsigned)LIMIT);
    port_cancel(op);
    take_packet(p);
    skip();
  }
  int err = os_socket_connect(client, &at);
  assert_true(err == 0 || err == PORTICO_EAGAIN);
  expect_packet(p, KEY(1), op, 0, PORTICO_EMFILE);
  fixture_close_socket(f, last);
  assert_int_equal(port_accept(listener, op), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  fixture_own(f, port_accepted(op, NULL));
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r42_closing_a_port_releases_every_waiter),
      CASE(r44_queued_packets_are_handed_over_when_the_port_closes),
      CASE(r44_without_a_callback_they_are_counted),
      CASE(r44_a_queued_packet_of_io_is_handed_over_too),
      CASE(r45_closing_a_handle_ends_each_pending_op_once),
      CASE(r45_closing_ends_accepts_connects_and_waits_for_input),
      CASE(r45_closing_an_idle_handle_queues_nothing),
      CASE(r45_an_aborted_stream_resets_its_peer),
      CASE(r45_a_handler_may_close_the_handle_that_it_handles),
      CASE(r50_an_op_survives_the_thread_that_started_it),
      CASE(r51_the_safe_order_ends_a_busy_server),
      CASE(r63_clients_that_vanish_do_not_hurt_the_listener),
      CASE(r63_a_lack_of_descriptors_fails_one_accept_only),
  };
  return cmocka_run_group_tests_name("close", cases, NULL, NULL);
}
