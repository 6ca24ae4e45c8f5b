/* packets_test.c - contract suite: the queue, what a packet says, what an op owns, batches (R1 to R18, R69). */
#include "loopback.h"
#include "worker.h"

#include <stdlib.h>

/* ---- R1 to R4: packets and the results of port_get ---- */

static void r1_packets_leave_in_the_order_they_were_queued(void **state) {
  port *p = fixture_port(*state, 1);
  for (unsigned i = 1; i <= 1000; i++) assert_int_equal(port_post(p, KEY(i), (void *)KEY(i + 7), i), 0);
  assert_int_equal(fixture_stat_of(p, QUEUED), 1000);
  for (unsigned i = 1; i <= 1000; i++) expect_packet(p, KEY(i), (void *)KEY(i + 7), i, 0);
}

static void r1_packets_of_io_and_posts_share_one_order(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(5));
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  port_post(p, KEY(1), NULL, 0);
  assert_true(pair_deliver(&c, "x"));
  assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 1), 0); /* ends at once: the byte is there */
  assert_true(fixture_settles(p, QUEUED, 2));
  port_post(p, KEY(2), NULL, 0);
  expect_packet(p, KEY(1), NULL, 0, 0);
  expect_packet(p, KEY(5), op, 1, 0);
  expect_packet(p, KEY(2), NULL, 0, 0);
}

static void r1_posts_without_end_do_not_keep_io_out(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(5));
  pair_start_receives(f, c.here, 1);
  port_post(p, KEY(1), NULL, 0);
  assert_true(peer_send(c.there, "x", 1));
  int64_t end = os_clock_now() + fixture_soon();
  while (take_packet(p).key != KEY(5)) {
    port_post(p, KEY(1), NULL, 0);
    assert_true(os_clock_now() < end);
  }
  expect_packet(p, KEY(1), NULL, 0, 0);
}

static void r2_a_posted_packet_comes_back_bit_for_bit(void **state) {
  static const struct {
    uintptr_t key, op;
    uint32_t  bytes;
  } posts[] = {
      {0, 0, 0}, {0, 0, UINT32_MAX}, {UINTPTR_MAX, 0, 1}, {0, UINTPTR_MAX, 0}, {UINTPTR_MAX, UINTPTR_MAX, UINT32_MAX},
      {1, 3, 5}, {0, 1, 0x80000000}, {(uintptr_t)0xDEADBEEFDEADBEEF, 0x10, 0x7FFFFFFF},
  };
  port *p = fixture_port(*state, 1);
  for (size_t i = 0; i < COUNT_OF(posts); i++) {
    assert_int_equal(port_post(p, KEY(posts[i].key), (void *)posts[i].op, posts[i].bytes), 0);
  }
  for (size_t i = 0; i < COUNT_OF(posts); i++) {
    expect_packet(p, KEY(posts[i].key), (void *)posts[i].op, posts[i].bytes, 0);
  }
}

static void r3_a_failed_op_is_still_a_packet(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = loopback_stream(f, p, KEY(9));
  port_op     *op = fixture_op(f);
  os_addr      dead = loopback_dead_addr(f);
  int          err = port_connect(h, op, &dead);
  if (err == 0) expect_packet(p, KEY(9), op, 0, PORTICO_ECONNREFUSED);
  else assert_int_equal(err, PORTICO_ECONNREFUSED);
}

static void r3_each_way_to_get_nothing_has_its_own_result(void **state) {
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  port_packet packet;
  assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ETIMEDOUT);
  assert_int_equal(port_get(p, &packet, 1, MS(5)), PORTICO_ETIMEDOUT);
  assert_int_equal(port_get(p, &packet, 0, 0), PORTICO_EINVAL);
  fixture_close_port(f, p, NULL, NULL);
  assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ECLOSED);
  assert_int_equal(port_get(p, &packet, 1, PORT_WAIT_FOREVER), PORTICO_ECLOSED);
}

static void r4_a_wait_that_brings_nothing_touches_nothing(void **state) {
  fixture          *f = *state;
  port             *p = fixture_port(f, 1);
  port_packet       packets[2];
  const port_packet before[2] = {{KEY(0xDEAD), (void *)KEY(0xBEEF), 0xFEED, 7}, {KEY(1), (void *)KEY(2), 3, 4}};
  memcpy(packets, before, sizeof before);
  assert_int_equal(port_get(p, packets, 2, 0), PORTICO_ETIMEDOUT);
  assert_int_equal(port_get(p, packets, 2, MS(5)), PORTICO_ETIMEDOUT);
  fixture_close_port(f, p, NULL, NULL);
  assert_int_equal(port_get(p, packets, 2, 0), PORTICO_ECLOSED);
  assert_memory_equal(packets, before, sizeof before);
}

/* ---- R5: time-outs ---- */

/* Not even when the source is due for a look, though packets are left. */
static void r5_the_shortest_time_out_takes_what_is_there(void **state) {
  enum { PACKETS = 200 };
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  port_packet packet;
  for (unsigned i = 0; i < PACKETS; i++) assert_int_equal(port_post(p, KEY(i), NULL, 0), 0);
  for (unsigned i = 0; i < PACKETS; i++) {
    assert_int_equal(port_get(p, &packet, 1, 1), 1);
    assert_ptr_equal(packet.key, KEY(i));
  }
  assert_int_equal(port_get(p, &packet, 1, 1), PORTICO_ETIMEDOUT);
}

static void r5_a_wait_never_ends_before_its_time(void **state) {
  port       *p = fixture_port(*state, 1);
  port_packet packet;
  for (unsigned i = 0; i < 20; i++) {
    int64_t timeout_ns = MS(10) + i * (MS(1) + 12345);
    int64_t began = os_clock_now();
    assert_int_equal(port_get(p, &packet, 1, timeout_ns), PORTICO_ETIMEDOUT);
    assert_true(os_clock_now() - began >= timeout_ns);
  }
}

static void r5_a_second_waiter_never_ends_early_either(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 4);
  worker  *a = worker_start(f), *b = worker_start(f);
  worker_park(a, p, 1);
  for (unsigned i = 0; i < 20; i++) {
    int64_t timeout_ns = MS(5) + i * 123457;
    worker_get_n(b, p, 1, timeout_ns);
    assert_got_error(b, PORTICO_ETIMEDOUT);
    assert_true(worker_result_of(b)->ended_ns - worker_result_of(b)->began_ns >= timeout_ns);
  }
}

static void r5_no_time_means_looking_only(void **state) {
  port       *p = fixture_port(*state, 1);
  port_packet packet;
  int64_t     began = os_clock_now();
  for (unsigned i = 0; i < 100; i++) assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ETIMEDOUT);
  assert_true(os_clock_now() - began < fixture_soon());
}

typedef struct thief {
  port       *p;
  atomic_bool stop;
} thief;

static void thief_post_and_take(worker *w, void *arg) {
  thief      *t = arg;
  port_packet packet;
  (void)w;
  for (int64_t end = os_clock_now() + fixture_deadline(); !atomic_load(&t->stop) && os_clock_now() < end;) {
    port_post(t->p, KEY(1), NULL, 0);
    port_get(t->p, &packet, 1, 0);
    fixture_pause(MS(2));
  }
}

static void r5_a_thief_does_not_prolong_a_wait(void **state) {
  fixture    *f = *state;
  port       *p = fixture_port(f, 4);
  thief      *t = fixture_memory(f, sizeof *t);
  worker     *w = worker_start(f);
  port_packet packet;
  t->p = p;
  worker_run(w, thief_post_and_take, t);
  int64_t longest = 0;
  for (unsigned i = 0; i < 5; i++) {
    int64_t began = os_clock_now();
    port_get(p, &packet, 1, MS(200)); /* either outcome is fine */
    int64_t took = os_clock_now() - began;
    longest = took > longest ? took : longest;
  }
  atomic_store(&t->stop, true);
  assert_true(worker_returned(w));
  while (port_get(p, &packet, 1, 0) == 1) {}
  assert_true(longest < MS(200) + fixture_soon());
}

/* ---- R6, R7: packets and starts ---- */

static void r6_an_op_that_ends_at_once_yields_exactly_one_packet(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 8);
  assert_true(pair_deliver(&c, "four"));
  assert_int_equal(port_recv(c.here, op, BUF(data, 8), 1), 0);
  expect_packet(p, KEY(1), op, 4, 0);
  assert_memory_equal(data, "four", 4);
  expect_silence(p);
  assert_int_equal(port_send(c.here, op, BUF(data, 4), 1), 0);
  expect_packet(p, KEY(1), op, 4, 0);
  expect_silence(p);
  assert_true(peer_recv(c.there, data + 4, 4));
  assert_memory_equal(data, "fourfour", 8);
}

static void r7_an_op_that_cannot_start_yields_no_packet(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *fresh = loopback_stream(f, p, KEY(1));
  pair         c = loopback_pair(f, p, KEY(2));
  port_op     *op = fixture_op(f);
  char        *data = fixture_memory(f, 4);
  assert_int_equal(port_recv(fresh, op, BUF(data, 4), 1), PORTICO_ENOTCONN);
  assert_int_equal(port_send(fresh, op, BUF(data, 4), 1), PORTICO_ENOTCONN);
  assert_int_equal(port_recv_ready(fresh, op), PORTICO_ENOTCONN);
  assert_int_equal(port_shutdown_send(c.here), 0);
  assert_int_equal(port_send(c.here, op, BUF(data, 4), 1), PORTICO_ESHUTDOWN);
  assert_int_equal(port_try_send(c.here, BUF(data, 4), 1), PORTICO_ESHUTDOWN);
  expect_silence(p);
}

static void r7_bad_arguments_are_reported_by_the_call(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  pair         c = loopback_pair(f, p, KEY(1));
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(2), &at);
  port_op     *op = fixture_op(f);
  port_buf    *bufs = fixture_memory(f, (PORT_BUFS_MAX + 1) * sizeof *bufs);
  char        *data = fixture_memory(f, 4);
  for (unsigned i = 0; i <= PORT_BUFS_MAX; i++) bufs[i] = (port_buf){data, 4};
  assert_int_equal(port_recv(c.here, op, bufs, 0), PORTICO_EINVAL);
  assert_int_equal(port_recv(c.here, op, NULL, 1), PORTICO_EINVAL);
  assert_int_equal(port_send(c.here, op, bufs, PORT_BUFS_MAX + 1), PORTICO_EINVAL);
  assert_int_equal(port_send(c.here, NULL, bufs, 1), PORTICO_EINVAL);
  assert_int_equal(port_accept(c.here, op), PORTICO_EINVAL);
  assert_int_equal(port_recv(listener, op, bufs, 1), PORTICO_EINVAL);
  assert_int_equal(port_connect(c.here, op, &(os_addr){0}), PORTICO_EINVAL);
  assert_int_equal(port_send_to(c.here, op, bufs, 1, &at), PORTICO_EINVAL);
  expect_silence(p);
}

/* ---- R11 to R14: what belongs to whom ---- */

/* An op with its buffer, which its handler destroys while the starting call may not have returned yet. */
typedef struct mayfly {
  port_op op;
  char    data[16];
} mayfly;

static void mayfly_on_packet(worker *w, const port_packet *packet, void *arg) {
  mayfly *m = (mayfly *)packet->op;
  (void)w;
  memset(m, 0xEE, sizeof *m);
  free(m);
  atomic_fetch_add((atomic_uint *)arg, 1);
}

static void r11_a_packet_may_be_handled_before_its_start_has_returned(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 4);
  pair         c = loopback_pair(f, p, KEY(1));
  atomic_uint *handled = fixture_memory(f, sizeof *handled);
  worker      *workers[2];
  unsigned     rounds = fixture_rounds(25000);
  char         byte;
  workers_serve(f, workers, 2, p, mayfly_on_packet, handled);
  for (unsigned i = 0; i < rounds; i++) {
    mayfly *in = calloc(1, sizeof *in), *out = calloc(1, sizeof *out);
    bool    early = i % 2 == 0;
    assert_true(in != NULL && out != NULL);
    if (early) assert_true(peer_send(c.there, "x", 1));
    assert_int_equal(port_recv(c.here, &in->op, BUF(in->data, 1), 1), 0);
    assert_int_equal(port_send(c.here, &out->op, BUF(out->data, 1), 1), 0);
    if (!early) assert_true(peer_send(c.there, "x", 1));
    assert_true(peer_recv(c.there, &byte, 1));
  }
  assert_true(fixture_counts(handled, 2 * rounds));
  assert_true(workers_stop(workers, 2, p));
  assert_int_equal(atomic_load(handled), 2 * rounds);
}

static void r12_a_buffer_is_not_touched_after_its_packet(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f), *next = fixture_op(f);
  char    *first = fixture_memory(f, 4), *second = fixture_memory(f, 4);
  memcpy(first, "####", 4);
  assert_int_equal(port_recv(c.here, op, BUF(first, 4), 1), 0);
  assert_int_equal(port_cancel(op), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECANCELED);
  memset(op, 0x55, sizeof *op); /* the op is ours again, too */
  assert_true(pair_deliver(&c, "data"));
  assert_int_equal(port_recv(c.here, next, BUF(second, 4), 1), 0);
  expect_packet(p, KEY(1), next, 4, 0);
  assert_memory_equal(first, "####", 4);
  assert_memory_equal(second, "data", 4);
}

static void r12_an_op_may_start_again_when_its_packet_was_taken(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  for (unsigned i = 0; i < 100; i++) {
    assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 1), 0);
    assert_true(peer_send(c.there, "x", 1));
    expect_packet(p, KEY(1), op, 1, 0);
    assert_int_equal(port_send(c.here, op, BUF(byte, 1), 1), 0);
    expect_packet(p, KEY(1), op, 1, 0);
  }
}

static void r13_the_array_of_buffers_is_copied(void **state) {
  enum { PIECES = 4, PIECE_BYTES = 512 * 1024, ALL_BYTES = PIECES * PIECE_BYTES };
  fixture        *f = *state;
  port           *p = fixture_port(f, 1);
  pair            c = loopback_pair(f, p, KEY(1));
  port_op        *in = fixture_op(f), *out = fixture_op(f);
  char           *data = fixture_memory(f, ALL_BYTES), *word = fixture_memory(f, 4);
  worker         *w = worker_start(f);
  pattern_reader *r = fixture_memory(f, sizeof *r);
  port_buf        bufs[PIECES] = {{word, 1}, {word + 1, 3}};
  assert_int_equal(port_recv(c.here, in, bufs, 2), 0);
  memset(bufs, 0, sizeof bufs);
  assert_true(peer_send(c.there, "word", 4));
  expect_packet(p, KEY(1), in, 4, 0);
  assert_memory_equal(word, "word", 4);
  pattern_fill(data, ALL_BYTES, 0);
  for (unsigned i = 0; i < PIECES; i++) bufs[i] = (port_buf){data + (size_t)i * PIECE_BYTES, PIECE_BYTES};
  assert_int_equal(port_send(c.here, out, bufs, PIECES), 0);
  memset(bufs, 0, sizeof bufs);
  r->s = c.there;
  r->total = ALL_BYTES;
  worker_run(w, pattern_read, r);
  expect_packet(p, KEY(1), out, ALL_BYTES, 0);
  assert_true(worker_returned(w));
  assert_true(r->good);
}

static void r14_a_failed_packet_carries_key_and_op(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *h = loopback_listener(f, p, KEY(0xABC), &at);
  port_op     *op = fixture_op(f);
  assert_int_equal(port_accept(h, op), 0);
  assert_int_equal(port_cancel(op), 0);
  expect_packet(p, KEY(0xABC), op, 0, PORTICO_ECANCELED);
  expect_silence(p);
}

/* ---- posts that ride in their op ---- */

static void a_posted_op_comes_in_order_with_its_key(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *ops = fixture_ops(f, 3);
  assert_int_equal(port_post_op(p, KEY(1), &ops[0]), 0);
  assert_int_equal(port_post(p, KEY(2), NULL, 7), 0);
  assert_int_equal(port_post_op(p, KEY(3), &ops[1]), 0);
  assert_int_equal(port_post_op(p, NULL, &ops[2]), 0);
  assert_int_equal(fixture_stat_of(p, QUEUED), 4);
  assert_int_equal(port_cancel(&ops[0]), PORTICO_ENOTFOUND);
  expect_packet(p, KEY(1), &ops[0], 0, 0);
  expect_packet(p, KEY(2), NULL, 7, 0);
  expect_packet(p, KEY(3), &ops[1], 0, 0);
  expect_packet(p, NULL, &ops[2], 0, 0);
  expect_silence(p);
}

/* As soon as its packet is taken an op may be anything again. */
static void a_posted_op_may_be_started_and_posted_again(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *op = fixture_op(f);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(port_timer(p, op, KEY(4), 0), 0);
    expect_packet(p, KEY(4), op, 0, 0);
    assert_int_equal(port_post_op(p, KEY(5), op), 0);
    expect_packet(p, KEY(5), op, 0, 0);
    assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
  }
}

static void a_posted_op_needs_an_op_and_an_open_port(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *op = fixture_op(f);
  assert_int_equal(port_post_op(p, KEY(1), NULL), PORTICO_EINVAL);
  assert_int_equal(port_post_op(NULL, KEY(1), op), PORTICO_EINVAL);
  port_close(p, NULL, NULL);
  assert_int_equal(port_post_op(p, KEY(1), op), PORTICO_ECLOSED);
}

/* ---- R15 to R18: batches ---- */

static void r15_a_batch_takes_what_is_there_and_does_not_wait_to_fill(void **state) {
  port       *p = fixture_port(*state, 1);
  port_packet packets[8];
  for (unsigned i = 1; i <= 3; i++) port_post(p, KEY(i), NULL, 0);
  assert_int_equal(port_get(p, packets, 8, fixture_deadline()), 3);
  for (unsigned i = 0; i < 3; i++) assert_int_equal((uintptr_t)packets[i].key, i + 1);
  for (unsigned i = 1; i <= 5; i++) port_post(p, KEY(i), NULL, 0);
  assert_int_equal(port_get(p, packets, 2, 0), 2);
  assert_int_equal(port_get(p, packets + 2, 2, 0), 2);
  assert_int_equal(port_get(p, packets + 4, 2, 0), 1);
  for (unsigned i = 0; i < 5; i++) assert_int_equal((uintptr_t)packets[i].key, i + 1);
}

static void r16_a_batch_holds_successes_and_failures(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = fixture_ops(f, 2);
  char    *data = fixture_memory(f, 8);
  assert_true(pair_deliver(&c, "four"));
  assert_int_equal(port_recv(c.here, &ops[0], BUF(data, 4), 1), 0);
  assert_int_equal(port_recv(c.here, &ops[1], BUF(data + 4, 4), 1), 0);
  assert_int_equal(port_cancel(&ops[1]), 0);
  assert_int_equal(port_post(p, KEY(3), NULL, 33), 0);
  assert_true(fixture_settles(p, QUEUED, 3));
  port_packet packets[8];
  assert_int_equal(port_get(p, packets, 8, fixture_deadline()), 3);
  assert_true(packets[0].op == &ops[0] && packets[0].err == 0 && packets[0].bytes == 4);
  assert_true(packets[1].op == &ops[1] && packets[1].err == PORTICO_ECANCELED && packets[1].bytes == 0);
  assert_true(packets[2].op == NULL && packets[2].err == 0 && packets[2].bytes == 33);
}

static void r16_a_batch_of_failures_is_a_success(void **state) {
  enum { OPS = 3 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = fixture_ops(f, OPS);
  char    *data = fixture_memory(f, OPS);
  for (unsigned i = 0; i < OPS; i++) assert_int_equal(port_recv(c.here, &ops[i], BUF(data + i, 1), 1), 0);
  assert_int_equal(port_cancel_all(c.here), OPS);
  assert_true(fixture_settles(p, QUEUED, OPS));
  port_packet packets[8];
  assert_int_equal(port_get(p, packets, 8, fixture_deadline()), OPS);
  for (unsigned i = 0; i < OPS; i++) assert_int_equal(packets[i].err, PORTICO_ECANCELED);
}

static void r18_a_batch_of_none_is_refused(void **state) {
  port             *p = fixture_port(*state, 1);
  const port_packet before = {KEY(1), (void *)KEY(2), 3, 4};
  port_packet       packet = before;
  port_post(p, KEY(9), NULL, 0);
  assert_int_equal(port_get(p, &packet, 0, fixture_deadline()), PORTICO_EINVAL);
  assert_memory_equal(&packet, &before, sizeof before);
  expect_packet(p, KEY(9), NULL, 0, 0);
}

static void r15_a_run_has_one_key_and_keeps_the_order(void **state) {
  static const uintptr_t keys[] = {1, 1, 1, 2, 1, 0, 0, 2, 2};
  port                  *p = fixture_port(*state, 1);
  bool                   native = strcmp(port_name(p), "iocp") == 0; /* its kernel does not look ahead */
  port_packet            packets[8];
  for (unsigned i = 0; i < COUNT_OF(keys); i++) port_post(p, KEY(keys[i]), NULL, i);
  assert_int_equal(port_get_run(p, packets, 0, 0), PORTICO_EINVAL);
  assert_int_equal(port_get_run(p, packets, 2, 0), native ? 1 : 2);
  for (unsigned i = native ? 1 : 2, n; i < COUNT_OF(keys); i += n) {
    int result = port_get_run(p, packets, 8, 0);
    assert_true(result >= 1);
    n = (unsigned)result;
    for (unsigned k = 0; k < n; k++) {
      assert_int_equal((uintptr_t)packets[k].key, keys[i]);
      assert_int_equal(packets[k].bytes, i + k);
    }
    if (keys[i] == 0) assert_int_equal(n, 1);
    else if (!native) assert_true(i + n == COUNT_OF(keys) || keys[i + n] != keys[i]);
  }
  assert_int_equal(port_get_run(p, packets, 8, 0), PORTICO_ETIMEDOUT);
}

/* ---- R69: the queue has no end ---- */

static void r69_a_million_posts_are_all_kept(void **state) {
  port       *p = fixture_port(*state, 1);
  unsigned    posts = fixture_rounds(1000000), taken = 0;
  port_packet packets[64];
  for (unsigned i = 0; i < posts; i++) assert_int_equal(port_post(p, KEY(i), NULL, i), 0);
  assert_int_equal(fixture_stat_of(p, QUEUED), posts);
  while (taken < posts) {
    int n = port_get(p, packets, COUNT_OF(packets), fixture_deadline());
    assert_true(n > 0);
    for (int i = 0; i < n; i++, taken++) {
      if (packets[i].bytes != taken) fail_msg("packet %u came as number %u", packets[i].bytes, taken);
    }
  }
  expect_silence(p);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r1_packets_leave_in_the_order_they_were_queued),
      CASE(r1_packets_of_io_and_posts_share_one_order),
      CASE(r1_posts_without_end_do_not_keep_io_out),
      CASE(r2_a_posted_packet_comes_back_bit_for_bit),
      CASE(r3_a_failed_op_is_still_a_packet),
      CASE(r3_each_way_to_get_nothing_has_its_own_result),
      CASE(r4_a_wait_that_brings_nothing_touches_nothing),
      CASE(r5_the_shortest_time_out_takes_what_is_there),
      CASE(r5_a_wait_never_ends_before_its_time),
      CASE(r5_a_second_waiter_never_ends_early_either),
      CASE(r5_no_time_means_looking_only),
      CASE(r5_a_thief_does_not_prolong_a_wait),
      CASE(r6_an_op_that_ends_at_once_yields_exactly_one_packet),
      CASE(r7_an_op_that_cannot_start_yields_no_packet),
      CASE(r7_bad_arguments_are_reported_by_the_call),
      CASE(r11_a_packet_may_be_handled_before_its_start_has_returned),
      CASE(r12_a_buffer_is_not_touched_after_its_packet),
      CASE(r12_an_op_may_start_again_when_its_packet_was_taken),
      CASE(r13_the_array_of_buffers_is_copied),
      CASE(r14_a_failed_packet_carries_key_and_op),
      CASE(a_posted_op_comes_in_order_with_its_key),
      CASE(a_posted_op_may_be_started_and_posted_again),
      CASE(a_posted_op_needs_an_op_and_an_open_port),
      CASE(r15_a_batch_takes_what_is_there_and_does_not_wait_to_fill),
      CASE(r15_a_run_has_one_key_and_keeps_the_order),
      CASE(r16_a_batch_holds_successes_and_failures),
      CASE(r16_a_batch_of_failures_is_a_success),
      CASE(r18_a_batch_of_none_is_refused),
      CASE(r69_a_million_posts_are_all_kept),
  };
  return cmocka_run_group_tests_name("packets", cases, NULL, NULL);
}
