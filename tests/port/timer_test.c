/* timer_test.c - contract suite: timers. */
#include "worker.h"

static void a_timer_brings_one_packet_and_never_early(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *op = fixture_op(f);
  for (unsigned i = 0; i < 20; i++) {
    int64_t due_ns = os_clock_now() + MS(1) * i + 123457;
    assert_int_equal(port_timer(p, op, KEY(5), due_ns), 0);
    assert_int_equal(fixture_stat_of(p, PENDING), 1);
    expect_packet(p, KEY(5), op, 0, 0);
    assert_true(os_clock_now() >= due_ns);
  }
  expect_silence(p);
}

static void a_timer_whose_time_has_passed_comes_at_once(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *ops = fixture_ops(f, 3);
  assert_int_equal(port_timer(p, &ops[0], KEY(1), os_clock_now()), 0);
  expect_packet(p, KEY(1), &ops[0], 0, 0);
  assert_int_equal(port_timer(p, &ops[1], KEY(2), 0), 0);
  expect_packet(p, KEY(2), &ops[1], 0, 0);
  assert_int_equal(port_timer(p, &ops[2], KEY(3), -1), 0);
  expect_packet(p, KEY(3), &ops[2], 0, 0);
}

static void a_look_brings_what_is_due(void **state) {
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  port_op    *op = fixture_op(f);
  port_packet packet;
  assert_int_equal(port_timer(p, op, KEY(1), os_clock_now() + MS(5)), 0);
  int64_t end = os_clock_now() + fixture_deadline();
  int     n;
  while ((n = port_get(p, &packet, 1, 0)) == PORTICO_ETIMEDOUT && os_clock_now() < end) {}
  assert_int_equal(n, 1);
  assert_ptr_equal(packet.op, op);
}

static void a_waiting_worker_gets_it_in_time(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 2);
  worker  *a = worker_start(f);
  port_op *op = fixture_op(f);
  worker_park(a, p, 1);
  int64_t due_ns = os_clock_now() + MS(30);
  assert_int_equal(port_timer(p, op, KEY(1), due_ns), 0);
  assert_got(a, 1);
  int64_t late_ns = worker_result_of(a)->ended_ns - due_ns;
  assert_true(late_ns >= 0 && late_ns < fixture_soon());
}

/* The order is that of the due times; equal ones come in the order they were started. */
static void timers_come_in_the_order_of_their_time(void **state) {
  static const int order[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8};
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *ops = fixture_ops(f, COUNT_OF(order));
  int64_t  base_ns = os_clock_now() + MS(10);
  for (size_t i = 0; i < COUNT_OF(order); i++) {
    assert_int_equal(port_timer(p, &ops[i], KEY(order[i]), base_ns + MS(order[i])), 0);
  }
  port_op *last = NULL;
  unsigned last_key = 0;
  for (size_t i = 0; i < COUNT_OF(order); i++) {
    port_packet packet = take_packet(p);
    unsigned    key = (unsigned)(uintptr_t)packet.key;
    assert_true(key >= last_key);
    if (key == last_key) assert_true(packet.op > last);
    last = packet.op;
    last_key = key;
  }
}

static void an_earlier_timer_wakes_a_worker_that_waits_for_a_later_one(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 4);
  worker  *a = worker_start(f), *b = worker_start(f);
  port_op *ops = fixture_ops(f, 2);
  assert_int_equal(port_timer(p, &ops[0], KEY(1), os_clock_now() + MS(60000)), 0);
  worker_park(a, p, 1);
  worker_park(b, p, 2);
  int64_t due_ns = os_clock_now() + MS(20);
  assert_int_equal(port_timer(p, &ops[1], KEY(2), due_ns), 0);
  assert_true(fixture_settles(p, WAITING, 1));
  assert_true(os_clock_now() >= due_ns);
  assert_true(os_clock_now() < due_ns + fixture_soon());
  assert_int_equal(port_cancel(&ops[0]), 0);
  assert_true(worker_returned(a) && worker_returned(b));
  unsigned sum = 0;
  sum += (unsigned)(uintptr_t)worker_result_of(a)->packets[0].key;
  sum += (unsigned)(uintptr_t)worker_result_of(b)->packets[0].key;
  assert_int_equal(sum, 3);
}

static void a_cancelled_timer_comes_early_with_ecanceled(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *op = fixture_op(f);
  assert_int_equal(port_timer(p, op, KEY(1), os_clock_now() + MS(3600000)), 0);
  assert_int_equal(port_cancel(op), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECANCELED);
  assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
  expect_silence(p);
  assert_int_equal(port_timer(p, op, KEY(2), 0), 0); /* it may start again */
  expect_packet(p, KEY(2), op, 0, 0);
  assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
}

static void a_timer_that_is_pending_when_the_port_closes_is_gone(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *op = fixture_op(f);
  assert_int_equal(port_timer(p, op, KEY(1), os_clock_now() + MS(10)), 0);
  fixture_close_port(f, p, NULL, NULL);
  assert_int_equal(fixture_stat_of(p, PENDING), 0);
  assert_int_equal(fixture_stat_of(p, QUEUED), 0);
  fixture_pause(MS(30));
}

static void ten_thousand_timers_all_come_once_and_in_order(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  unsigned timers = fixture_slow() ? 2000 : 10000, random = 1;
  port_op *ops = fixture_ops(f, timers);
  int64_t *due = fixture_memory(f, timers * sizeof *due), last_ns = 0;
  for (unsigned i = 0; i < timers; i++) {
    random = random * 1103515245 + 12345;
    due[i] = os_clock_now() + MS(50) + (int64_t)(random >> 8) % MS(100);
    assert_int_equal(port_timer(p, &ops[i], KEY(i), due[i]), 0);
  }
  for (unsigned taken = 0; taken < timers;) {
    port_packet packets[32];
    int         n = port_get(p, packets, COUNT_OF(packets), fixture_deadline());
    assert_true(n > 0);
    for (int k = 0; k < n; k++, taken++) {
      size_t i = (size_t)(packets[k].op - ops);
      assert_ptr_equal(packets[k].key, KEY(i));
      assert_true(due[i] >= last_ns && due[i] <= os_clock_now());
      last_ns = due[i];
      due[i] = -1; /* a second time would look like out of order */
    }
  }
  expect_silence(p);
}

static void every_other_of_many_timers_is_cancelled(void **state) {
  enum { TIMERS = 1000 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *ops = fixture_ops(f, TIMERS);
  int64_t  due_ns = os_clock_now() + MS(200);
  unsigned cancelled = 0, rung = 0;
  for (unsigned i = 0; i < TIMERS; i++) assert_int_equal(port_timer(p, &ops[i], KEY(i), due_ns + i), 0);
  for (unsigned i = 0; i < TIMERS; i += 2) cancelled += port_cancel(&ops[i]) == 0;
  for (unsigned i = 0; i < TIMERS; i++) {
    port_packet packet = take_packet(p);
    assert_ptr_equal(packet.op, &ops[(uintptr_t)packet.key]);
    if (packet.err == 0) rung++;
    else assert_int_equal(packet.err, PORTICO_ECANCELED);
  }
  assert_int_equal(cancelled + rung, TIMERS);
  expect_silence(p);
}

typedef struct canceller {
  port_op    *op;
  atomic_uint turn;
  unsigned    rounds;
  atomic_uint found; /* cancels that found it pending */
  atomic_uint done;  /* rounds */
} canceller;

static void cancel_in_turn(worker *w, void *arg) {
  canceller *c = arg;
  int64_t    end = os_clock_now() + 6 * fixture_deadline();
  (void)w;
  for (unsigned i = 1; i <= c->rounds; i++) {
    while (atomic_load(&c->turn) < i) {
      if (os_clock_now() > end) return;
    }
    if (port_cancel(c->op) == 0) atomic_fetch_add(&c->found, 1);
    atomic_store(&c->done, i);
  }
}

static void a_cancel_that_races_with_the_time_yields_one_packet(void **state) {
  fixture   *f = *state;
  port      *p = fixture_port(f, 2);
  worker    *w = worker_start(f);
  canceller *c = fixture_memory(f, sizeof *c);
  unsigned   cancelled = 0;
  *c = (canceller){.op = fixture_op(f), .rounds = fixture_rounds(4000)};
  worker_run(w, cancel_in_turn, c);
  for (unsigned i = 1; i <= c->rounds; i++) {
    assert_int_equal(port_timer(p, c->op, KEY(i), os_clock_now() + i % 40 * 1000), 0);
    atomic_store(&c->turn, i);
    port_packet packet = take_packet(p);
    assert_ptr_equal(packet.key, KEY(i));
    assert_true(packet.err == 0 || packet.err == PORTICO_ECANCELED);
    cancelled += packet.err != 0;
    int64_t end = os_clock_now() + fixture_deadline();
    while (atomic_load(&c->done) < i && os_clock_now() < end) os_thread_yield(); /* the op is ours only now */
  }
  assert_true(worker_returned(w));
  assert_int_equal(atomic_load(&c->found), cancelled);
  expect_silence(p);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(a_timer_brings_one_packet_and_never_early),
      CASE(a_timer_whose_time_has_passed_comes_at_once),
      CASE(a_look_brings_what_is_due),
      CASE(a_waiting_worker_gets_it_in_time),
      CASE(timers_come_in_the_order_of_their_time),
      CASE(an_earlier_timer_wakes_a_worker_that_waits_for_a_later_one),
      CASE(a_cancelled_timer_comes_early_with_ecanceled),
      CASE(a_timer_that_is_pending_when_the_port_closes_is_gone),
      CASE(ten_thousand_timers_all_come_once_and_in_order),
      CASE(every_other_of_many_timers_is_cancelled),
      CASE(a_cancel_that_races_with_the_time_yields_one_packet),
  };
  return cmocka_run_group_tests_name("timer", cases, NULL, NULL);
}
