/* ready_test.c - contract suite: waiting for input without a buffer, taking it, sending at once (R56, first half of
 * R58, port_try_send). */
#include "loopback.h"
#include "worker.h"

/* What a stream under test needs. */
typedef struct inlet {
  port        *p;
  pair         c;
  port_op     *op;
  char        *scratch;
} inlet;

enum { SCRATCH_BYTES = 4096 };

static inlet inlet_open(fixture *f) {
  inlet in = {.p = fixture_port(f, 1), .op = fixture_op(f), .scratch = fixture_memory(f, SCRATCH_BYTES)};
  in.c = loopback_pair(f, in.p, KEY(1));
  return in;
}

/* Waits for input until port_take has something to say: now and then there is nothing after all. */
static int64_t inlet_take(const inlet *in, size_t cap, const void **out_data) {
  int64_t n;
  do {
    assert_int_equal(port_recv_ready(in->c.here, in->op), 0);
    expect_packet(in->p, KEY(1), in->op, 0, 0);
    n = port_take(in->c.here, in->op, in->scratch, cap, out_data);
  } while (n == PORTICO_EAGAIN);
  return n;
}

static void expect_text(const inlet *in, const char *text) {
  const void *data = NULL;
  assert_int_equal(inlet_take(in, SCRATCH_BYTES, &data), strlen(text));
  assert_memory_equal(data, text, strlen(text));
}

/* ---- R56: the wait without a buffer ---- */

static void r56_data_that_is_there_before_the_wait(void **state) {
  inlet in = inlet_open(*state);
  assert_true(pair_deliver(&in.c, "data"));
  expect_text(&in, "data");
}

static void r56_data_that_comes_during_the_wait(void **state) {
  inlet       in = inlet_open(*state);
  const void *data = NULL;
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  assert_int_equal(fixture_stat_of(in.p, PENDING), 1);
  assert_true(peer_send(in.c.there, "data", 4));
  expect_packet(in.p, KEY(1), in.op, 0, 0);
  assert_int_equal(port_take(in.c.here, in.op, in.scratch, SCRATCH_BYTES, &data), 4);
  assert_memory_equal(data, "data", 4);
}

/* More unread pieces than a backend with buffers of its own has buffers. */
static void r56_who_does_not_take_starves_nobody(void **state) {
  enum { SILENT = 200, PIECES = 4 };
  fixture    *f = *state;
  unsigned    count = fixture_rounds(SILENT);
  inlet       in = inlet_open(f);
  pair       *pairs = fixture_memory(f, count * sizeof *pairs);
  port_op    *ops = fixture_ops(f, count);
  const void *data = NULL;
  for (unsigned i = 0; i < count; i++) {
    pairs[i] = loopback_pair(f, in.p, KEY(2));
    assert_int_equal(port_recv_ready(pairs[i].here, &ops[i]), 0);
  }
  for (unsigned piece = 0; piece < PIECES; piece++) {
    for (unsigned i = 0; i < count; i++) assert_true(peer_send(pairs[i].there, &"abcd"[piece], 1));
    for (unsigned i = 0; piece == 0 && i < count; i++) assert_int_equal((uintptr_t)take_packet(in.p).key, 2);
    assert_true(peer_send(in.c.there, "on", 2)); /* this one is served between the pieces of the others */
    expect_text(&in, "on");
  }
  for (unsigned i = 0; i < count; i++) {
    char   got[PIECES + 1] = "";
    size_t len = 0;
    while (len < PIECES) {
      int64_t n = port_take(pairs[i].here, &ops[i], in.scratch, SCRATCH_BYTES, &data);
      if (n == PORTICO_EAGAIN) {
        assert_int_equal(port_recv_ready(pairs[i].here, &ops[i]), 0);
        expect_packet(in.p, KEY(2), &ops[i], 0, 0);
        continue;
      }
      assert_in_range(n, 1, PIECES - len);
      memcpy(got + len, data, (size_t)n);
      len += (size_t)n;
    }
    assert_string_equal(got, "abcd");
  }
}

static void r56_a_silent_peer_brings_no_packet(void **state) {
  inlet       in = inlet_open(*state);
  port_packet packet;
  for (unsigned spurious = 0;; spurious++) { /* a false alarm or two are allowed */
    const void *data = NULL;
    assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
    if (port_get(in.p, &packet, 1, MS(300)) != 1) break;
    assert_true(spurious < 3);
    assert_int_equal(port_take(in.c.here, in.op, in.scratch, SCRATCH_BYTES, &data), PORTICO_EAGAIN);
  }
  assert_int_equal(port_cancel(in.op), 0);
  expect_packet(in.p, KEY(1), in.op, 0, PORTICO_ECANCELED);
}

static void r56_the_wait_consumes_nothing(void **state) {
  inlet in = inlet_open(*state);
  assert_true(peer_send(in.c.there, "data", 4));
  for (unsigned i = 0; i < 5; i++) { /* taken by nobody */
    assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
    expect_packet(in.p, KEY(1), in.op, 0, 0);
  }
  expect_text(&in, "data");
}

static void r56_what_a_short_take_left_is_announced_again(void **state) {
  inlet       in = inlet_open(*state);
  const void *data = NULL;
  char        text[11] = "";
  assert_true(peer_send(in.c.there, "0123456789", 10));
  for (size_t done = 0; done < 10;) {
    int64_t n = inlet_take(&in, 3, &data);
    assert_in_range(n, 1, 3);
    memcpy(text + done, data, (size_t)n);
    done += (size_t)n;
  }
  assert_string_equal(text, "0123456789");
}

static void r56_a_take_of_exactly_what_is_there_loses_nothing(void **state) {
  inlet in = inlet_open(*state);
  for (unsigned i = 0; i < 50; i++) {
    const void *data = NULL;
    assert_true(peer_send(in.c.there, "abcd", 4));
    for (size_t left = 4; left > 0;) {
      int64_t n = inlet_take(&in, left, &data);
      assert_in_range(n, 1, left);
      left -= (size_t)n;
    }
  }
}

static void r56_the_end_is_announced_again_and_again(void **state) {
  inlet       in = inlet_open(*state);
  const void *data = NULL;
  assert_int_equal(os_socket_shutdown_send(in.c.there), 0);
  for (unsigned i = 0; i < 3; i++) assert_int_equal(inlet_take(&in, SCRATCH_BYTES, &data), 0);
}

static void r56_data_and_end_that_come_together_are_both_announced(void **state) {
  inlet       in = inlet_open(*state);
  const void *data = NULL;
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  assert_true(peer_send(in.c.there, "last words", 10));
  assert_int_equal(os_socket_shutdown_send(in.c.there), 0);
  expect_packet(in.p, KEY(1), in.op, 0, 0);
  assert_int_equal(port_take(in.c.here, in.op, in.scratch, SCRATCH_BYTES, &data), 10);
  assert_int_equal(inlet_take(&in, SCRATCH_BYTES, &data), 0);
}

static void r56_an_end_that_comes_between_take_and_wait_is_announced(void **state) {
  inlet       in = inlet_open(*state);
  const void *data = NULL;
  assert_true(peer_send(in.c.there, "x", 1));
  expect_text(&in, "x");
  assert_int_equal(os_socket_shutdown_send(in.c.there), 0);
  assert_true(os_socket_wait(port_handle_socket(in.c.here), OS_READABLE, fixture_deadline()) > 0);
  assert_int_equal(inlet_take(&in, SCRATCH_BYTES, &data), 0);
}

static void r56_a_reset_is_announced(void **state) {
  fixture    *f = *state;
  inlet       in = inlet_open(f);
  const void *data = NULL;
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  peer_reset(f, in.c.there);
  port_packet packet = take_packet(in.p);
  assert_true(packet.err == 0 || packet.err == PORTICO_ECONNRESET);
  if (packet.err == 0) {
    assert_int_equal(port_take(in.c.here, in.op, in.scratch, SCRATCH_BYTES, &data), PORTICO_ECONNRESET);
  }
  expect_silence(in.p);
}

static void r56_a_wait_may_be_mixed_with_receives_in_turn(void **state) {
  inlet in = inlet_open(*state);
  for (unsigned i = 0; i < 10; i++) {
    assert_true(peer_send(in.c.there, "ab", 2));
    expect_text(&in, "ab");
    assert_int_equal(port_recv(in.c.here, in.op, BUF(in.scratch, 2), 1), 0);
    assert_true(peer_send(in.c.there, "cd", 2));
    expect_packet(in.p, KEY(1), in.op, 2, 0);
    assert_memory_equal(in.scratch, "cd", 2);
  }
}

static void r56_a_wait_is_the_only_one_that_receives(void **state) {
  inlet    in = inlet_open(*state);
  port_op *other = fixture_op(*state);
  if (fixture_slow()) {
    print_message("skipped: Windows starts both\n");
    skip();
  }
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  assert_int_equal(port_recv_ready(in.c.here, other), PORTICO_EINVAL);
  assert_int_equal(port_recv(in.c.here, other, BUF(in.scratch, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_cancel(in.op), 0);
  expect_packet(in.p, KEY(1), in.op, 0, PORTICO_ECANCELED);
  assert_int_equal(port_recv(in.c.here, in.op, BUF(in.scratch, 1), 1), 0);
  assert_int_equal(port_recv_ready(in.c.here, other), PORTICO_EINVAL);
  assert_int_equal(port_cancel_all(in.c.here), 1);
  expect_packet(in.p, KEY(1), in.op, 0, PORTICO_ECANCELED);
  expect_silence(in.p);
}

/* A stream of which much is taken at once, by takes that are larger and smaller than what is there. */
static void r56_bulk_is_taken_in_pieces_of_any_size(void **state) {
  enum { TOTAL = 4 << 20, TAKE = 50000 };
  static const size_t sizes[] = {TAKE, 5000, 100, 4096, 1};
  fixture    *f = *state;
  inlet       in = inlet_open(f);
  const void *data = NULL;
  char       *out = fixture_memory(f, TAKE);
  size_t      sent = 0, got = 0;
  unsigned    turn = 0;
  in.scratch = fixture_memory(f, TAKE);
  while (got < TOTAL) {
    pattern_fill(out, TAKE, sent);
    size_t  most = TOTAL - sent < TAKE ? TOTAL - sent : TAKE;
    int64_t n = most > 0 ? os_socket_send(in.c.there, out, most) : 0;
    if (n > 0) sent += (size_t)n;
    if (sent == got) continue;
    n = inlet_take(&in, sizes[turn++ / 16 % COUNT_OF(sizes)], &data);
    assert_true(n > 0 && pattern_holds(data, (size_t)n, got));
    got += (size_t)n;
  }
  assert_int_equal(os_socket_shutdown_send(in.c.there), 0);
  assert_int_equal(inlet_take(&in, TAKE, &data), 0);
}

/* Pieces as long as a buffer of the backend, or two, taken in pieces of any size; with and without the end. */
static void r56_what_came_as_whole_buffers_is_taken_in_any_pieces(void **state) {
  static const size_t lens[] = {4096, 8192}, takes[] = {1000, 4096, 20000};
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  port_op    *op = fixture_op(f);
  char       *data = fixture_memory(f, 8192);
  char       *scratch = fixture_memory(f, 20000);
  port_packet packet;
  pattern_fill(data, 8192, 0);
  for (unsigned i = 0; i < COUNT_OF(lens) * COUNT_OF(takes) * 2; i++) {
    size_t len = lens[i / 2 % 2], most = takes[i / 4], got = 0;
    inlet  in = {.p = p, .c = loopback_pair(f, p, KEY(1)), .op = op, .scratch = scratch};
    assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
    assert_true(peer_send(in.c.there, data, len));
    if (i % 2 == 1) assert_int_equal(os_socket_shutdown_send(in.c.there), 0);
    expect_packet(p, KEY(1), op, 0, 0);
    for (unsigned look = 0; look < 3; look++) port_get(p, &packet, 1, 0); /* whatever else there is to be heard */
    while (got < len) {
      const void *from = NULL;
      int64_t     n = port_take(in.c.here, in.op, scratch, most, &from);
      if (n == PORTICO_EAGAIN) n = inlet_take(&in, most, &from);
      assert_true(n > 0 && pattern_holds(from, (size_t)n, got));
      got += (size_t)n;
    }
    fixture_close(f, in.c.here);
    expect_silence(p);
  }
}

/* What was announced in bulk may end with a reset, too. */
static void r56_a_reset_ends_bulk(void **state) {
  enum { BYTES = 60000 };
  fixture    *f = *state;
  inlet       in = inlet_open(f);
  const void *data = NULL;
  in.scratch = fixture_memory(f, BYTES);
  assert_true(peer_send(in.c.there, in.scratch, BYTES));
  assert_true(inlet_take(&in, BYTES, &data) > 0);
  peer_reset(f, in.c.there);
  int64_t n = 1;
  while (n > 0 || n == PORTICO_EAGAIN) {
    assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
    port_packet packet = take_packet(in.p);
    n = packet.err < 0 ? packet.err : port_take(in.c.here, in.op, in.scratch, BYTES, &data);
  }
  assert_true(here_was_reset(in.c.here, n));
}

/* ---- cancel, close, half-close ---- */

static void r46_a_cancelled_wait_leaves_the_data(void **state) {
  inlet in = inlet_open(*state);
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  assert_int_equal(port_cancel(in.op), 0);
  expect_packet(in.p, KEY(1), in.op, 0, PORTICO_ECANCELED);
  assert_true(pair_deliver(&in.c, "data"));
  expect_text(&in, "data");
}

static void r45_closing_ends_a_wait(void **state) {
  fixture *f = *state;
  inlet    in = inlet_open(f);
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  fixture_close(f, in.c.here);
  expect_packet(in.p, KEY(1), in.op, 0, PORTICO_ECANCELED);
  assert_true(peer_at_end(in.c.there));
  expect_silence(in.p);
}

/* As above, while the wait is for the next of much. */
static void r45_closing_ends_a_wait_for_more_of_much(void **state) {
  enum { BYTES = 60000 };
  fixture    *f = *state;
  inlet       in = inlet_open(f);
  const void *data = NULL;
  size_t      got = 0;
  in.scratch = fixture_memory(f, BYTES);
  assert_true(peer_send(in.c.there, in.scratch, BYTES));
  while (got < BYTES) {
    int64_t n = inlet_take(&in, BYTES, &data);
    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_int_equal(port_take(in.c.here, in.op, in.scratch, BYTES, &data), PORTICO_EAGAIN);
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  fixture_close(f, in.c.here);
  port_packet packet = take_packet(in.p);
  assert_ptr_equal(packet.op, in.op);
  assert_true(packet.err == PORTICO_ECANCELED || packet.err == 0);
  expect_silence(in.p);
}

static void r45_what_was_announced_and_not_taken_goes_with_the_handle(void **state) {
  fixture *f = *state;
  inlet    in = inlet_open(f);
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  assert_true(peer_send(in.c.there, "data", 4));
  expect_packet(in.p, KEY(1), in.op, 0, 0);
  fixture_close(f, in.c.here);
  expect_silence(in.p);
}

static void r58_a_half_close_leaves_a_wait_alone(void **state) {
  inlet       in = inlet_open(*state);
  const void *data = NULL;
  assert_int_equal(port_recv_ready(in.c.here, in.op), 0);
  assert_int_equal(port_shutdown_send(in.c.here), 0);
  assert_true(peer_at_end(in.c.there));
  assert_true(peer_send(in.c.there, "data", 4));
  expect_packet(in.p, KEY(1), in.op, 0, 0);
  int64_t n = port_take(in.c.here, in.op, in.scratch, SCRATCH_BYTES, &data);
  if (n == PORTICO_EAGAIN) n = inlet_take(&in, SCRATCH_BYTES, &data);
  assert_int_equal(n, 4);
}

/* ---- a long conversation ---- */

typedef struct talk {
  inlet       in;
  atomic_uint rounds, errors, over;
} talk;

static void talk_on_packet(worker *w, const port_packet *packet, void *arg) {
  talk       *t = arg;
  const void *data = NULL;
  int64_t     n = 0;
  (void)w;
  if (packet->err == 0) n = port_take(t->in.c.here, t->in.op, t->in.scratch, SCRATCH_BYTES, &data);
  if (n > 0) {
    if (port_try_send(t->in.c.here, BUF((void *)data, (size_t)n), 1) != n) atomic_fetch_add(&t->errors, 1);
    atomic_fetch_add(&t->rounds, 1);
  }
  if (n <= 0 && n != PORTICO_EAGAIN) atomic_store(&t->over, 1);
  else if (port_recv_ready(t->in.c.here, t->in.op) != 0) atomic_fetch_add(&t->errors, 1);
}

static void r56_no_message_of_a_long_ping_pong_is_missed(void **state) {
  enum { WORKERS = 3 };
  fixture *f = *state;
  talk    *t = fixture_memory(f, sizeof *t);
  worker  *workers[WORKERS];
  unsigned rounds = fixture_rounds(10000);
  t->in = inlet_open(f);
  workers_serve(f, workers, WORKERS, t->in.p, talk_on_packet, t);
  assert_int_equal(port_recv_ready(t->in.c.here, t->in.op), 0);
  for (unsigned i = 0; i < rounds; i++) {
    uint32_t sent = i, back = ~i;
    assert_true(peer_send(t->in.c.there, &sent, sizeof sent));
    assert_true(peer_recv(t->in.c.there, &back, sizeof back));
    assert_int_equal(back, sent);
  }
  assert_int_equal(os_socket_shutdown_send(t->in.c.there), 0);
  assert_true(fixture_counts(&t->over, 1));
  assert_true(workers_stop(workers, WORKERS, t->in.p));
  assert_int_equal(atomic_load(&t->errors), 0);
  assert_true(atomic_load(&t->rounds) >= rounds);
}

/* ---- port_try_send ---- */

/* Reads as much as was sent, whatever it is. */
static void read_all(worker *w, void *reader) {
  pattern_reader *r = reader;
  static char     chunk[65536];
  (void)w;
  for (size_t left = r->total; left > 0; left -= left < sizeof chunk ? left : sizeof chunk) {
    if (!peer_recv(r->s, chunk, left < sizeof chunk ? left : sizeof chunk)) return;
  }
  r->good = true;
}

static void try_send_takes_what_fits_and_then_says_eagain(void **state) {
  fixture *f = *state;
  inlet    in = inlet_open(f);
  size_t   taken = pair_fill(&in.c);
  assert_true(taken > 0);
  int64_t n; /* what is full may yet find room: the kernel moves things about */
  while ((n = port_try_send(in.c.here, BUF(in.scratch, 1), 1)) == 1) taken++;
  assert_int_equal(n, PORTICO_EAGAIN);
  assert_int_equal(fixture_stat_of(in.p, PENDING), 0);
  char *sink = fixture_memory(f, taken);
  assert_true(peer_recv(in.c.there, sink, taken)); /* exactly that many arrive */
  assert_int_equal(os_socket_recv(in.c.there, sink, 1), PORTICO_EAGAIN);
}

static void try_send_does_not_overtake_a_send_that_waits(void **state) {
  enum { BYTES = 100000 };
  fixture *f = *state;
  inlet    in = inlet_open(f);
  char    *more = fixture_memory(f, BYTES);
  size_t   taken = pair_fill(&in.c);
  assert_int_equal(port_send(in.c.here, in.op, BUF(more, BYTES), 1), 0);
  assert_int_equal(port_try_send(in.c.here, BUF(in.scratch, 1), 1), PORTICO_EAGAIN);
  assert_int_equal(port_send_soon(in.c.here, BUF(in.scratch, 1), 1), PORTICO_EAGAIN);
  pattern_reader *r = fixture_memory(f, sizeof *r);
  worker         *w = worker_start(f);
  *r = (pattern_reader){.s = in.c.there, .total = taken + BYTES};
  worker_run(w, read_all, r);
  expect_packet(in.p, KEY(1), in.op, BYTES, 0);
  assert_true(worker_returned(w) && r->good);
}

static void try_send_gathers(void **state) {
  inlet    in = inlet_open(*state);
  port_buf bufs[3] = {{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}, {(char[]){"f"}, 1}};
  char     back[6];
  assert_int_equal(port_try_send(in.c.here, bufs, 3), 6);
  assert_true(peer_recv(in.c.there, back, 6));
  assert_memory_equal(back, "abcdef", 6);
}

static void after_eagain_a_send_goes_on_when_there_is_room(void **state) {
  fixture        *f = *state;
  inlet           in = inlet_open(f);
  worker         *w = worker_start(f);
  pattern_reader *r = fixture_memory(f, sizeof *r);
  size_t          limit = 64 << 20, done = 0;
  char           *chunk = fixture_memory(f, 65536);
  for (int64_t n = 0; n != PORTICO_EAGAIN && done < limit; done += n > 0 ? (size_t)n : 0) {
    pattern_fill(chunk, 65536, done);
    n = port_try_send(in.c.here, BUF(chunk, 65536), 1);
    assert_true(n > 0 || n == PORTICO_EAGAIN);
  }
  pattern_fill(chunk, 65536, done);
  assert_int_equal(port_send(in.c.here, in.op, BUF(chunk, 65536), 1), 0);
  *r = (pattern_reader){.s = in.c.there, .total = done + 65536};
  worker_run(w, pattern_read, r);
  expect_packet(in.p, KEY(1), in.op, 65536, 0);
  assert_true(worker_returned(w));
  assert_true(r->good);
  assert_int_equal(port_try_send(in.c.here, BUF(chunk, 1), 1), 1); /* and so does the next */
}

static void try_send_tells_of_a_reset(void **state) {
  fixture *f = *state;
  inlet    in = inlet_open(f);
  port_op *op = pair_start_receives(f, in.c.here, 1);
  peer_reset(f, in.c.there);
  expect_packet(in.p, KEY(1), op, 0, PORTICO_ECONNRESET);
  int64_t n = port_try_send(in.c.here, BUF(in.scratch, 1), 1);
  assert_true(n == PORTICO_ECONNRESET || n == PORTICO_EPIPE || n == PORTICO_ENOTCONN);
}

/* ---- port_send_soon ---- */

static void send_soon_leaves_with_a_flush(void **state) {
  inlet in = inlet_open(*state);
  assert_int_equal(port_send_soon(in.c.here, BUF((void *)"soon", 4), 1), 4);
  port_flush(in.p);
  char got[4];
  assert_true(peer_recv(in.c.there, got, 4));
  assert_memory_equal(got, "soon", 4);
}

static void send_soon_leaves_with_the_next_wait(void **state) {
  inlet       in = inlet_open(*state);
  port_packet packet;
  port_buf    pieces[] = {{(void *)"so", 2}, {(void *)"on", 2}};
  assert_int_equal(port_send_soon(in.c.here, pieces, 2), 4);
  assert_int_equal(port_get(in.p, &packet, 1, 0), PORTICO_ETIMEDOUT);
  char got[4];
  assert_true(peer_recv(in.c.there, got, 4));
  assert_memory_equal(got, "soon", 4);
}

static void a_send_behind_send_soon_needs_no_other_event_to_end(void **state) {
  inlet in = inlet_open(*state);
  assert_int_equal(port_send_soon(in.c.here, BUF((void *)"first", 5), 1), 5);
  port_flush(in.p);
  assert_int_equal(port_send(in.c.here, in.op, BUF((void *)"second", 6), 1), 0);
  expect_packet(in.p, KEY(1), in.op, 6, 0);
  char got[11];
  assert_true(peer_recv(in.c.there, got, 11));
  assert_memory_equal(got, "firstsecond", 11);
}

static void a_half_close_and_a_close_behind_send_soon_lose_nothing(void **state) {
  fixture    *f = *state;
  inlet       in = inlet_open(f);
  pair        other = loopback_pair(f, in.p, KEY(2));
  port_packet packet;
  char        got[4];
  assert_int_equal(port_send_soon(in.c.here, BUF((void *)"last", 4), 1), 4);
  assert_int_equal(port_shutdown_send(in.c.here), 0);
  assert_int_equal(port_send_soon(other.here, BUF((void *)"last", 4), 1), 4);
  fixture_close(f, other.here);
  assert_int_equal(port_get(in.p, &packet, 1, 0), PORTICO_ETIMEDOUT);
  assert_true(peer_recv(in.c.there, got, 4) && peer_at_end(in.c.there));
  assert_true(peer_recv(other.there, got, 4) && peer_at_end(other.there));
}

/* Reads what came until the end of the connection, while the port is polled. result: how much, -1 = it did not end */
static int64_t read_to_end(port *p, os_socket s) {
  static char chunk[65536];
  port_packet packet;
  int64_t     total = 0, end = os_clock_now() + fixture_deadline();
  while (os_clock_now() < end) {
    int64_t n = os_socket_recv(s, chunk, sizeof chunk);
    if (n == 0) return total;
    if (n > 0) total += n;
    else if (port_get(p, &packet, 1, MS(1)) != PORTICO_ETIMEDOUT) break;
  }
  return -1;
}

/* The kernel takes nothing for now but of the one in the middle; the last one is given up. */
static void send_soon_into_full_connections_leaves_when_there_is_room(void **state) {
  enum { PAIRS = 4, FREE = 1, ABORTED = 3 };
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  pair        pairs[PAIRS];
  size_t      before[PAIRS];
  int64_t     taken[PAIRS];
  port_packet packet;
  for (unsigned i = 0; i < PAIRS; i++) {
    pairs[i] = loopback_pair(f, p, KEY(1));
    before[i] = i == FREE ? 0 : pair_fill(&pairs[i]);
  }
  for (unsigned i = 0; i < PAIRS; i++) taken[i] = port_send_soon(pairs[i].here, BUF((void *)"soon", 4), 1);
  for (unsigned i = 0; i < 3; i++) assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ETIMEDOUT);
  fixture_abort(f, pairs[ABORTED].here);
  for (unsigned i = 0; i < ABORTED; i++) {
    assert_true(taken[i] == 4 || (taken[i] == PORTICO_EAGAIN && i != FREE));
    fixture_close(f, pairs[i].here); /* what was taken leaves first */
    assert_int_equal(read_to_end(p, pairs[i].there), before[i] + (taken[i] > 0 ? 4 : 0));
  }
}

/* More of them at once than any backend keeps. */
static void send_soon_of_very_many_loses_nothing(void **state) {
  enum { MANY = 1030, SIM_MANY = 100 };
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  unsigned    count = strcmp(port_name(p), "sim") == 0 ? SIM_MANY : fixture_rounds(MANY);
  pair       *pairs = fixture_memory(f, count * sizeof *pairs);
  port_packet packet;
  char        byte;
  for (unsigned round = 0; round < 2; round++) {
    for (unsigned i = 0; i < count; i++) {
      if (round == 0) pairs[i] = loopback_pair(f, p, KEY(1));
      assert_int_equal(port_send_soon(pairs[i].here, BUF((void *)"x", 1), 1), 1);
    }
    assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ETIMEDOUT);
    for (unsigned i = 0; i < count; i++) assert_true(peer_recv(pairs[i].there, &byte, 1) && byte == 'x');
    assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ETIMEDOUT);
  }
}

static void send_soon_takes_what_is_long_at_once(void **state) {
  enum { BYTES = 4000 };
  fixture *f = *state;
  inlet    in = inlet_open(f);
  char    *data = fixture_memory(f, BYTES), *back = fixture_memory(f, BYTES);
  pattern_fill(data, BYTES, 0);
  assert_int_equal(port_send_soon(in.c.here, BUF(data, BYTES), 1), BYTES);
  assert_true(peer_recv(in.c.there, back, BYTES) && pattern_holds(back, BYTES, 0));
  port_buf two[] = {{data, BYTES - 1}, {data + BYTES - 1, 1}};
  assert_int_equal(port_send_soon(in.c.here, two, 2), BYTES);
  assert_true(peer_recv(in.c.there, back, BYTES) && pattern_holds(back, BYTES, 0));
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r56_data_that_is_there_before_the_wait),
      CASE(r56_data_that_comes_during_the_wait),
      CASE(r56_a_silent_peer_brings_no_packet),
      CASE(r56_who_does_not_take_starves_nobody),
      CASE(r56_the_wait_consumes_nothing),
      CASE(r56_what_a_short_take_left_is_announced_again),
      CASE(r56_a_take_of_exactly_what_is_there_loses_nothing),
      CASE(r56_the_end_is_announced_again_and_again),
      CASE(r56_data_and_end_that_come_together_are_both_announced),
      CASE(r56_an_end_that_comes_between_take_and_wait_is_announced),
      CASE(r56_a_reset_is_announced),
      CASE(r56_a_wait_may_be_mixed_with_receives_in_turn),
      CASE(r56_a_wait_is_the_only_one_that_receives),
      CASE(r56_bulk_is_taken_in_pieces_of_any_size),
      CASE(r56_what_came_as_whole_buffers_is_taken_in_any_pieces),
      CASE(r56_a_reset_ends_bulk),
      CASE(r46_a_cancelled_wait_leaves_the_data),
      CASE(r45_closing_ends_a_wait),
      CASE(r45_closing_ends_a_wait_for_more_of_much),
      CASE(r45_what_was_announced_and_not_taken_goes_with_the_handle),
      CASE(r58_a_half_close_leaves_a_wait_alone),
      CASE(r56_no_message_of_a_long_ping_pong_is_missed),
      CASE(send_soon_leaves_with_a_flush),
      CASE(send_soon_leaves_with_the_next_wait),
      CASE(a_send_behind_send_soon_needs_no_other_event_to_end),
      CASE(a_half_close_and_a_close_behind_send_soon_lose_nothing),
      CASE(send_soon_into_full_connections_leaves_when_there_is_room),
      CASE(send_soon_of_very_many_loses_nothing),
      CASE(send_soon_takes_what_is_long_at_once),
      CASE(try_send_takes_what_fits_and_then_says_eagain),
      CASE(try_send_does_not_overtake_a_send_that_waits),
      CASE(try_send_gathers),
      CASE(after_eagain_a_send_goes_on_when_there_is_room),
      CASE(try_send_tells_of_a_reset),
  };
  return cmocka_run_group_tests_name("ready", cases, NULL, NULL);
}
