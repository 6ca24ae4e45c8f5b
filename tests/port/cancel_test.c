/* cancel_test.c - contract suite: cancelling operations (R46 to R49). */
#include "loopback.h"
#include "worker.h"

static void r46_a_cancelled_op_ends_with_one_packet(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = pair_start_receives(f, c.here, 1), *next;
  assert_int_equal(port_cancel(op), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECANCELED);
  expect_silence(p);
  next = pair_start_receives(f, c.here, 1); /* the connection is as good as before */
  assert_true(peer_send(c.there, "x", 1));
  expect_packet(p, KEY(1), next, 1, 0);
}

/* Each time the kernel has no room; it says so again when a later send asks. */
static void r46_a_cancelled_send_leaves_the_next_one_waiting(void **state) {
  enum { BYTES = 100000 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, BYTES);
  pair_fill(&c);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(port_send(c.here, op, BUF(data, BYTES), 1), 0);
    assert_int_equal(port_cancel(op), 0);
    port_packet packet = take_packet(p);
    assert_true(packet.op == op && packet.err == PORTICO_ECANCELED && packet.bytes < BYTES);
  }
  expect_silence(p);
}

typedef struct racer {
  os_socket   s;
  unsigned    rounds;
  atomic_uint turn; /* the round that may begin */
} racer;

static void racer_send(worker *w, void *arg) {
  racer  *r = arg;
  int64_t end = os_clock_now() + 6 * fixture_deadline();
  (void)w;
  for (unsigned i = 1; i <= r->rounds; i++) {
    while (atomic_load(&r->turn) < i) {
      if (os_clock_now() > end) return;
    }
    char byte = (char)i;
    if (!peer_send(r->s, &byte, 1)) return;
  }
}

static void r46_a_cancel_that_races_with_data_loses_neither(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 4);
  pair     c = loopback_pair(f, p, KEY(1));
  racer   *r = fixture_memory(f, sizeof *r);
  worker  *w = worker_start(f);
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  *r = (racer){.s = c.there, .rounds = fixture_rounds(10000)};
  worker_run(w, racer_send, r);
  for (unsigned i = 1; i <= r->rounds; i++) {
    assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 1), 0);
    atomic_store(&r->turn, i);
    for (unsigned spin = i % 64 * 16; spin > 0; spin--) atomic_load(&r->turn);
    int         cancelled = port_cancel(op);
    port_packet packet = take_packet(p);
    assert_true(cancelled == 0 || (cancelled == PORTICO_ENOTFOUND && packet.err == 0));
    if (packet.err == PORTICO_ECANCELED) { /* the byte is still to come */
      assert_int_equal(packet.bytes, 0);
      assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 1), 0);
      packet = take_packet(p);
    }
    assert_true(packet.err == 0 && packet.bytes == 1 && *byte == (char)i);
  }
  assert_true(worker_returned(w));
  expect_silence(p);
}

static void r47_cancel_all_ends_the_pending_ops_of_one_handle(void **state) {
  enum { OPS = 3 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1)), d = loopback_pair(f, p, KEY(2));
  port_op *cs = pair_start_receives(f, c.here, OPS), *ds = pair_start_receives(f, d.here, OPS);
  assert_int_equal(port_cancel_all(c.here), OPS);
  for (unsigned i = 0; i < OPS; i++) expect_packet(p, KEY(1), &cs[i], 0, PORTICO_ECANCELED);
  assert_int_equal(fixture_stat_of(p, PENDING), OPS);
  assert_true(peer_send(d.there, "abc", OPS));
  for (unsigned i = 0; i < OPS; i++) expect_packet(p, KEY(2), &ds[i], 1, 0);
  expect_silence(p);
}

static void r47_cancel_all_with_nothing_pending_is_a_success(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  assert_int_equal(port_cancel_all(c.here), 0);
  expect_silence(p);
}

static void r48_cancelling_what_is_not_pending_finds_nothing(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *never = fixture_op(f);
  assert_int_equal(port_cancel(never), PORTICO_ENOTFOUND);
  assert_true(pair_deliver(&c, "x"));
  port_op *done = pair_start_receives(f, c.here, 1);
  assert_true(fixture_settles(p, QUEUED, 1));
  assert_int_equal(port_cancel(done), PORTICO_ENOTFOUND); /* its packet is queued */
  expect_packet(p, KEY(1), done, 1, 0);
  assert_int_equal(port_cancel(done), PORTICO_ENOTFOUND); /* its packet was taken */
  expect_silence(p);
}

static void r48_a_second_cancel_finds_nothing(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = pair_start_receives(f, c.here, 1);
  assert_int_equal(port_cancel(op), 0);
  assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECANCELED);
  expect_silence(p);
}

static void r49_cancelling_one_of_several_leaves_order_and_data(void **state) {
  for (unsigned victim = 0; victim < 3; victim++) {
    fixture *f = *state;
    port    *p = fixture_port(f, 1);
    pair     c = loopback_pair(f, p, KEY(1));
    port_op *ops = fixture_ops(f, 3);
    char    *bytes = fixture_memory(f, 3);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(port_recv(c.here, &ops[i], BUF(bytes + i, 1), 1), 0);
    assert_int_equal(port_cancel(&ops[victim]), 0);
    expect_packet(p, KEY(1), &ops[victim], 0, PORTICO_ECANCELED);
    unsigned first = victim == 0 ? 1 : 0, second = victim == 2 ? 1 : 2;
    assert_true(peer_send(c.there, "1", 1));
    expect_packet(p, KEY(1), &ops[first], 1, 0);
    assert_true(peer_send(c.there, "2", 1));
    expect_packet(p, KEY(1), &ops[second], 1, 0);
    assert_true(bytes[first] == '1' && bytes[second] == '2' && bytes[victim] == 0);
  }
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r46_a_cancelled_op_ends_with_one_packet),
      CASE(r46_a_cancelled_send_leaves_the_next_one_waiting),
      CASE(r46_a_cancel_that_races_with_data_loses_neither),
      CASE(r47_cancel_all_ends_the_pending_ops_of_one_handle),
      CASE(r47_cancel_all_with_nothing_pending_is_a_success),
      CASE(r48_cancelling_what_is_not_pending_finds_nothing),
      CASE(r48_a_second_cancel_finds_nothing),
      CASE(r49_cancelling_one_of_several_leaves_order_and_data),
  };
  return cmocka_run_group_tests_name("cancel", cases, NULL, NULL);
}
