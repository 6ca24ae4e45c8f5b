/* files_test.c - contract suite: files (R68), and what holds for every handle, on files (R34 to R37, R44 to R48,
 * R70). */
#include <stdlib.h>

#include "loopback.h"
#include "worker.h"

enum {
  RW_NEW = OS_FILE_READ | OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_NEW,
  SMALL_BYTES = 10000,
  LARGE_BYTES = 8 * 1024 * 1024,
  MANY = 200, /* far more than there are threads to run them */
  PIECE_BYTES = 4096,
};

/* A new file of len bytes of the pattern, written without a port. */
static const char *make_file(fixture *f, const char *name, size_t len) {
  const char *path = fixture_path(f, name);
  char       *bytes = fixture_memory(f, len);
  os_file     file;
  pattern_fill(bytes, len, 0);
  assert_int_equal(os_file_open(path, RW_NEW, &file), 0);
  for (size_t done = 0; done < len;) {
    int64_t n = os_file_write_at(file, bytes + done, len - done, done);
    if (n <= 0) break;
    done += (size_t)n;
  }
  int64_t size = os_file_size(file);
  os_file_close(file);
  assert_int_equal(size, len);
  return path;
}

/* Takes count packets of the array of ops, each once, and returns how many say ECANCELED. All others must be successes
 * with `bytes`. */
static unsigned take_each_once(fixture *f, port *p, port_op *ops, unsigned count, uint32_t bytes) {
  bool    *seen = fixture_memory(f, count);
  unsigned cancelled = 0;
  for (unsigned i = 0; i < count; i++) {
    port_packet packet = take_packet(p);
    size_t      index = (size_t)(packet.op - ops);
    assert_true(index < count && !seen[index]);
    seen[index] = true;
    assert_ptr_equal(packet.key, KEY(1));
    if (packet.err == PORTICO_ECANCELED) cancelled++;
    else assert_true(packet.err == 0 && packet.bytes == bytes);
  }
  expect_silence(p);
  return cancelled;
}

/* ---- R68: reading, writing, syncing ---- */

static void r68_a_read_ends_short_only_at_the_end(void **state) {
  static const struct {
    uint64_t offset;
    uint32_t len, bytes;
  } reads[] = {
      {0, 100, 100},   {0, SMALL_BYTES, SMALL_BYTES}, {0, SMALL_BYTES + 1, SMALL_BYTES}, {9990, 10, 10},
      {9990, 100, 10}, {SMALL_BYTES, 10, 0},          {20000, 10, 0},                    {UINT64_C(1) << 40, 10, 0},
  };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *got = fixture_memory(f, SMALL_BYTES + 1);
  for (unsigned i = 0; i < COUNT_OF(reads); i++) {
    memset(got, 0, SMALL_BYTES + 1);
    assert_int_equal(port_read(h, op, got, reads[i].len, reads[i].offset), 0);
    expect_packet(p, KEY(1), op, reads[i].bytes, 0);
    assert_true(pattern_holds(got, reads[i].bytes, (size_t)reads[i].offset));
  }
  expect_silence(p);
}

static void r68_reads_at_the_end_and_before_it_may_be_in_flight_together(void **state) {
  static const uint64_t offsets[] = {0, 9990, 10000, 20000};
  static const uint32_t bytes[] = {10, 10, 0, 0};
  fixture              *f = *state;
  port                 *p = fixture_port(f, 1);
  port_handle          *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  port_op              *ops = fixture_ops(f, 4);
  char                 *got = fixture_memory(f, 40);
  for (unsigned i = 0; i < 4; i++) assert_int_equal(port_read(h, &ops[i], got + 10 * i, 10, offsets[i]), 0);
  bool seen[4] = {false};
  for (unsigned i = 0; i < 4; i++) {
    port_packet packet = take_packet(p);
    size_t      index = (size_t)(packet.op - ops);
    assert_true(index < 4 && !seen[index] && packet.err == 0 && packet.bytes == bytes[index]);
    seen[index] = true;
  }
  assert_true(pattern_holds(got, 10, 0) && pattern_holds(got + 10, 10, 9990));
  expect_silence(p);
}

static void r68_many_writes_and_reads_at_their_own_offsets(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 2);
  port_handle *h = fixture_file(f, fixture_path(f, "many"), RW_NEW, p, KEY(1));
  port_op     *ops = fixture_ops(f, MANY);
  char        *out = fixture_memory(f, (size_t)MANY * PIECE_BYTES), *in = fixture_memory(f, (size_t)MANY * PIECE_BYTES);
  pattern_fill(out, (size_t)MANY * PIECE_BYTES, 0);
  for (unsigned i = 0; i < MANY; i++) { /* from the end to the beginning: a hole in between */
    size_t at = (size_t)(MANY - 1 - i) * PIECE_BYTES;
    assert_int_equal(port_write(h, &ops[i], out + at, PIECE_BYTES, at), 0);
  }
  assert_int_equal(take_each_once(f, p, ops, MANY, PIECE_BYTES), 0);
  for (unsigned i = 0; i < MANY; i++) {
    size_t at = (size_t)i * PIECE_BYTES;
    assert_int_equal(port_read(h, &ops[i], in + at, PIECE_BYTES, at), 0);
  }
  assert_int_equal(take_each_once(f, p, ops, MANY, PIECE_BYTES), 0);
  assert_true(pattern_holds(in, (size_t)MANY * PIECE_BYTES, 0));
}

static void r68_a_large_transfer_is_one_packet(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, fixture_path(f, "large"), RW_NEW, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *out = fixture_memory(f, LARGE_BYTES), *in = fixture_memory(f, LARGE_BYTES);
  pattern_fill(out, LARGE_BYTES, 0);
  assert_int_equal(port_write(h, op, out, LARGE_BYTES, 3), 0);
  expect_packet(p, KEY(1), op, LARGE_BYTES, 0);
  assert_int_equal(port_read(h, op, in, LARGE_BYTES, 3), 0);
  expect_packet(p, KEY(1), op, LARGE_BYTES, 0);
  assert_true(pattern_holds(in, LARGE_BYTES, 0));
  assert_int_equal(port_read(h, op, in, LARGE_BYTES, 1 + LARGE_BYTES / 2), 0); /* the end comes half-way */
  expect_packet(p, KEY(1), op, LARGE_BYTES / 2 + 2, 0);
  expect_silence(p);
}

static void r68_write_then_sync_then_read(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, fixture_path(f, "synced"), RW_NEW, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *got = fixture_memory(f, 5);
  assert_int_equal(port_write(h, op, "hello", 5, 0), 0);
  expect_packet(p, KEY(1), op, 5, 0);
  assert_int_equal(port_sync(h, op), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  assert_int_equal(port_read(h, op, got, 5, 0), 0);
  expect_packet(p, KEY(1), op, 5, 0);
  assert_memory_equal(got, "hello", 5);
  expect_silence(p);
}

static void r68_what_is_only_read_can_be_synced(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "small", 1), OS_FILE_READ, p, KEY(1));
  port_op     *op = fixture_op(f);
  assert_int_equal(port_sync(h, op), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  expect_silence(p);
}

/* An error comes by the call, and then nothing else does, or by a packet. */
static void expect_failure(port *p, port_op *op, int started, int err) {
  if (started == 0) {
    expect_packet(p, KEY(1), op, 0, err);
  } else {
    assert_int_equal(started, err);
  }
  expect_silence(p);
}

static void r68_what_it_was_not_opened_for_is_refused(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  const char  *path = make_file(f, "small", SMALL_BYTES);
  port_handle *r = fixture_file(f, path, OS_FILE_READ, p, KEY(1)), *w = fixture_file(f, path, OS_FILE_WRITE, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  expect_failure(p, op, port_read(w, op, byte, 1, 0), PORTICO_EACCES);
  expect_failure(p, op, port_write(r, op, byte, 1, 0), PORTICO_EACCES);
}

static void r68_a_full_disk_says_so(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  os_file  full = OS_FILE_NONE;
  if (fixture_slow() || os_file_open("/dev/full", OS_FILE_WRITE, &full) < 0) {
    print_message("skipped: there is no /dev/full here\n");
    skip();
  }
  os_file_close(full);
  port_handle *h = fixture_file(f, "/dev/full", OS_FILE_WRITE, p, KEY(1));
  port_op     *op = fixture_op(f);
  expect_failure(p, op, port_write(h, op, "x", 1, 0), PORTICO_ENOSPC);
}

/* On a worker: starts syncs, one behind the other. */
typedef struct starter {
  port_handle *h;
  port_op     *ops;
  unsigned     count, started; /* the latter to be read when the worker has returned */
} starter;

static void starter_sync(worker *w, void *arg) {
  starter *s = arg;
  (void)w;
  while (s->started < s->count && port_sync(s->h, &s->ops[s->started]) == 0) s->started++;
}

static void count_good(worker *w, const port_packet *packet, void *arg) {
  (void)w;
  if (packet->err == 0) atomic_fetch_add((atomic_uint *)arg, 1);
}

static void r68_a_starter_that_exits_leaves_its_ops_behind(void **state) {
  enum { OPS = 64 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, fixture_path(f, "left"), RW_NEW, p, KEY(1));
  port_op     *ops = fixture_ops(f, OPS), *written = fixture_op(f);
  char        *out = fixture_memory(f, LARGE_BYTES);
  atomic_uint *good = fixture_memory(f, sizeof *good);
  worker      *server[1];
  workers_serve(f, server, 1, p, count_good, good);
  for (unsigned round = 1; round <= 4; round++) {
    starter s = {.h = h, .ops = ops, .count = OPS};
    worker *w = worker_start(f);
    assert_int_equal(port_write(h, written, out, LARGE_BYTES, 0), 0); /* so that the syncs take a while */
    assert_true(fixture_counts(good, round * (OPS + 1) - OPS));
    assert_true(fixture_settles(p, WAITING, 1)); /* so that the starter hands its ops to the kernel itself */
    worker_run(w, starter_sync, &s);
    assert_true(worker_returned(w));
    worker_exit(w);
    assert_int_equal(s.started, OPS);
    assert_true(fixture_counts(good, round * (OPS + 1)));
  }
  assert_true(workers_stop(server, 1, p));
  expect_silence(p);
}

/* Writes its bytes, wipes them, reads them back, and so on. */
typedef struct chain {
  port_op      op;
  port_handle *h;
  uint64_t     at;
  unsigned     rounds;
  unsigned     step; /* ops that ended well */
  atomic_uint *over;
  char         data[512];
} chain;

static void chain_step(worker *w, const port_packet *packet, void *arg) {
  chain *c = (chain *)packet->op;
  (void)w;
  (void)arg;
  bool good = packet->err == 0 && packet->bytes == sizeof c->data;
  if (good) c->step++;
  bool on = good && c->step < 2 * c->rounds;
  if (on && c->step % 2 == 1) {
    memset(c->data, 0, sizeof c->data);
    on = port_read(c->h, &c->op, c->data, sizeof c->data, c->at) == 0;
  } else if (on) {
    on = port_write(c->h, &c->op, c->data, sizeof c->data, c->at) == 0;
  }
  if (!on) atomic_fetch_add(c->over, 1);
}

static void r68_workers_share_the_packets_of_a_file(void **state) {
  enum { WORKERS = 3, ROUNDS = 20 };
  fixture *f = *state;
  port    *p = fixture_port(f, WORKERS);
  chain   *chains = fixture_memory(f, MANY * sizeof *chains);
  worker  *workers[WORKERS];
  port_handle *h = fixture_file(f, fixture_path(f, "shared"), RW_NEW, p, KEY(1));
  atomic_uint *over = fixture_memory(f, sizeof *over);
  unsigned     rounds = fixture_rounds(ROUNDS);
  workers_serve(f, workers, WORKERS, p, chain_step, NULL);
  for (unsigned i = 0; i < MANY; i++) {
    chains[i] = (chain){.h = h, .at = (uint64_t)i * sizeof chains[i].data, .rounds = rounds, .over = over};
    pattern_fill(chains[i].data, sizeof chains[i].data, i);
    assert_int_equal(port_write(h, &chains[i].op, chains[i].data, sizeof chains[i].data, chains[i].at), 0);
  }
  assert_true(fixture_counts(over, MANY));
  assert_true(workers_stop(workers, WORKERS, p));
  for (unsigned i = 0; i < MANY; i++) {
    assert_int_equal(chains[i].step, 2 * rounds);
    assert_true(pattern_holds(chains[i].data, sizeof chains[i].data, i));
  }
  expect_silence(p);
}

/* ---- R34 to R37: arguments, attaching, the key ---- */

static void r34_a_file_takes_no_socket_ops_and_a_socket_no_file_ops(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  pair         c = loopback_pair(f, p, KEY(2));
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  os_addr      at = loopback_addr(1);
  const void  *data;
  assert_int_equal(port_accept(h, op), PORTICO_EINVAL);
  assert_int_equal(port_connect(h, op, &at), PORTICO_EINVAL);
  assert_int_equal(port_recv(h, op, BUF(byte, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_recv_ready(h, op), PORTICO_EINVAL);
  assert_int_equal(port_send(h, op, BUF(byte, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_recv_from(h, op, BUF(byte, 1), 1, NULL), PORTICO_EINVAL);
  assert_int_equal(port_send_to(h, op, BUF(byte, 1), 1, &at), PORTICO_EINVAL);
  assert_int_equal(port_shutdown_send(h), PORTICO_EINVAL);
  assert_true(port_take(h, op, byte, 1, &data) < 0);
  assert_true(port_try_send(h, BUF(byte, 1), 1) < 0);
  assert_true(port_send_soon(h, BUF(byte, 1), 1) < 0);
  assert_int_equal(port_read(c.here, op, byte, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_write(c.here, op, byte, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_sync(c.here, op), PORTICO_EINVAL);
  expect_silence(p);
}

static void r34_a_read_needs_a_buffer_and_a_place(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  const char  *path = make_file(f, "small", SMALL_BYTES);
  port_handle *h = fixture_file(f, path, OS_FILE_READ | OS_FILE_WRITE, p, KEY(1));
  port_handle *loose = fixture_file(f, path, OS_FILE_READ | OS_FILE_WRITE, NULL, NULL), *none = NULL;
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  assert_int_equal(port_handle_open(OS_FILE_NONE, PORT_FILE, &none), PORTICO_EINVAL);
  assert_int_equal(port_read(h, NULL, byte, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_read(h, op, NULL, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_read(h, op, byte, 0, 0), PORTICO_EINVAL);
  assert_int_equal(port_read(h, op, byte, 1, INT64_MAX), PORTICO_EINVAL);
  assert_int_equal(port_read(h, op, byte, 1, UINT64_MAX), PORTICO_EINVAL);
#if SIZE_MAX > UINT32_MAX
  assert_int_equal(port_write(h, op, byte, (size_t)UINT32_MAX + 1, 0), PORTICO_EINVAL);
#endif
  assert_int_equal(port_write(h, op, byte, 0, 0), PORTICO_EINVAL);
  assert_int_equal(port_read(loose, op, byte, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_sync(loose, op), PORTICO_EINVAL);
  expect_silence(p);
}

static void r36_the_key_of_a_file_can_be_changed_between_ops(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *got = fixture_memory(f, 10);
  assert_int_equal(port_read(h, op, got, 10, 0), 0);
  expect_packet(p, KEY(1), op, 10, 0);
  port_handle_set_key(h, KEY(2));
  assert_int_equal(port_read(h, op, got, 10, 10), 0);
  expect_packet(p, KEY(2), op, 10, 0);
  expect_silence(p);
}

static void r37_files_and_sockets_share_a_port(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  pair         c = loopback_pair(f, p, KEY(2));
  port_op     *received = pair_start_receives(f, c.here, 1), *op = fixture_op(f);
  char        *got = fixture_memory(f, 10);
  assert_int_equal(port_attach(p, h, KEY(3)), PORTICO_EINVAL); /* once for life, like any other */
  assert_int_equal(port_read(h, op, got, 10, 0), 0);
  expect_packet(p, KEY(1), op, 10, 0);
  assert_true(peer_send(c.there, "x", 1));
  expect_packet(p, KEY(2), received, 1, 0);
  expect_silence(p);
}

/* ---- R46 to R48: cancelling ---- */

/* Starts more reads, each of a whole piece, than can be run at once. */
static void start_many(port_handle *h, port_op *ops, char *got) {
  for (unsigned i = 0; i < MANY; i++) {
    assert_int_equal(port_read(h, &ops[i], got + (size_t)i * PIECE_BYTES, PIECE_BYTES, (uint64_t)i * PIECE_BYTES), 0);
  }
}

static void r46_a_cancelled_op_ends_with_one_packet(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "many", (size_t)MANY * PIECE_BYTES), OS_FILE_READ, p, KEY(1));
  port_op     *ops = fixture_ops(f, MANY);
  char        *got = fixture_memory(f, (size_t)MANY * PIECE_BYTES);
  unsigned     asked = 0;
  start_many(h, ops, got);
  for (unsigned i = MANY; i > 0; i--) { /* the newest still wait in line, the oldest may be over */
    int err = port_cancel(&ops[i - 1]);
    assert_true(err == 0 || err == PORTICO_ENOTFOUND);
    if (err == 0) asked++;
  }
  assert_true(take_each_once(f, p, ops, MANY, PIECE_BYTES) <= asked);
  start_many(h, ops, got); /* the file and the ops are as good as before */
  assert_int_equal(take_each_once(f, p, ops, MANY, PIECE_BYTES), 0);
  assert_true(pattern_holds(got, (size_t)MANY * PIECE_BYTES, 0));
}

static void r46_a_cancel_of_a_lone_op_races_with_its_end(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, fixture_path(f, "racing"), RW_NEW, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  for (unsigned i = 0; i < fixture_rounds(2000); i++) {
    *byte = (char)i;
    assert_int_equal(i % 3 == 2 ? port_sync(h, op) : port_write(h, op, byte, 1, 0), 0);
    for (unsigned spin = i % 64 * 16; spin > 0; spin--) fixture_stat_of(p, QUEUED);
    int         err = port_cancel(op);
    port_packet packet = take_packet(p);
    assert_true(packet.op == op && (packet.err == 0 || (err == 0 && packet.err == PORTICO_ECANCELED)));
  }
  expect_silence(p);
}

static void r47_cancel_all_ends_the_ops_of_one_file(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  const char  *path = make_file(f, "many", (size_t)MANY * PIECE_BYTES);
  port_handle *h = fixture_file(f, path, OS_FILE_READ, p, KEY(1));
  port_handle *other = fixture_file(f, path, OS_FILE_READ, p, KEY(1));
  port_op     *ops = fixture_ops(f, 2 * MANY);
  char        *got = fixture_memory(f, 2 * (size_t)MANY * PIECE_BYTES);
  start_many(h, ops, got);
  start_many(other, ops + MANY, got + (size_t)MANY * PIECE_BYTES);
  int asked = port_cancel_all(h);
  assert_in_range(asked, 0, MANY);
  assert_true((int)take_each_once(f, p, ops, 2 * MANY, PIECE_BYTES) <= asked);
  assert_true(pattern_holds(got + (size_t)MANY * PIECE_BYTES, (size_t)MANY * PIECE_BYTES, 0)); /* all of the other's */
  assert_int_equal(port_cancel_all(h), 0);
}

static void r48_cancelling_what_is_over_finds_nothing(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *got = fixture_memory(f, 10);
  assert_int_equal(port_read(h, op, got, 10, 0), 0);
  expect_packet(p, KEY(1), op, 10, 0);
  assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
  assert_int_equal(port_sync(h, op), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
  expect_silence(p);
}

static void r70_very_many_reads_and_then_none(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  unsigned     count = fixture_rounds(20000);
  port_handle *h = fixture_file(f, make_file(f, "small", SMALL_BYTES), OS_FILE_READ, p, KEY(1));
  port_op     *ops = fixture_ops(f, count);
  char        *got = fixture_memory(f, count);
  for (unsigned i = 0; i < count; i++) assert_int_equal(port_read(h, &ops[i], got + i, 1, i % SMALL_BYTES), 0);
  int asked = port_cancel_all(h);
  assert_true((int)take_each_once(f, p, ops, count, 1) <= asked);
}

/* ---- R44, R45: closing ---- */

static void r45_closing_a_file_ends_each_op_once(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  const char  *path = make_file(f, "many", (size_t)MANY * PIECE_BYTES);
  port_op     *ops = fixture_ops(f, MANY);
  char        *got = fixture_memory(f, (size_t)MANY * PIECE_BYTES);
  for (unsigned round = 0; round < 10; round++) {
    port_handle *h = fixture_file(f, path, OS_FILE_READ, p, KEY(1));
    start_many(h, ops, got);
    if (round % 2 == 0) fixture_close(f, h);
    else fixture_abort(f, h);
    for (unsigned i = 0; i < MANY; i++) assert_int_equal(port_cancel(&ops[i]), PORTICO_ENOTFOUND);
    take_each_once(f, p, ops, MANY, PIECE_BYTES);
  }
}

static void r45_a_file_closed_behind_its_last_op_has_all_that_was_written(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  const char  *path = fixture_path(f, "large");
  port_handle *h = fixture_file(f, path, RW_NEW, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *out = fixture_memory(f, LARGE_BYTES);
  os_file      file;
  assert_int_equal(port_write(h, op, out, LARGE_BYTES, 0), 0);
  fixture_close(f, h);
  port_packet packet = take_packet(p);
  assert_true(packet.op == op && (packet.err == 0 || packet.err == PORTICO_ECANCELED));
  assert_int_equal(os_file_open(path, OS_FILE_READ, &file), 0);
  int64_t size = os_file_size(file);
  os_file_close(file);
  assert_true(packet.err == PORTICO_ECANCELED ? size >= packet.bytes : size == LARGE_BYTES);
  expect_silence(p);
}

/* Long reads, one of which has been asked to end already: each file goes with its own. */
static void r45_files_closed_together_end_one_by_one(void **state) {
  enum { FILES = 4 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  const char  *path = make_file(f, "large", LARGE_BYTES);
  port_op     *ops = fixture_ops(f, FILES);
  char        *got = fixture_memory(f, (size_t)FILES * LARGE_BYTES);
  port_handle *handles[FILES];
  for (unsigned i = 0; i < FILES; i++) {
    handles[i] = fixture_file(f, path, OS_FILE_READ, p, KEY(1));
    assert_int_equal(port_read(handles[i], &ops[i], got + (size_t)i * LARGE_BYTES, LARGE_BYTES, 0), 0);
  }
  int first = port_cancel(&ops[FILES - 1]), second = port_cancel(&ops[FILES - 1]);
  assert_true(first == 0 || first == PORTICO_ENOTFOUND);
  assert_true(second == PORTICO_ENOTFOUND || fixture_slow()); /* Windows may ask twice */
  for (unsigned i = 0; i < FILES; i++) fixture_close(f, handles[i]);
  take_each_once(f, p, ops, FILES, LARGE_BYTES);
}

static void r45_an_unattached_file_just_closes(void **state) {
  fixture     *f = *state;
  const char  *path = make_file(f, "small", 1);
  fixture_close(f, fixture_file(f, path, OS_FILE_READ, NULL, NULL));
  fixture_abort(f, fixture_file(f, path, OS_FILE_READ, NULL, NULL));
}

static void count_drop(const port_packet *packet, void *arg) {
  (void)packet;
  ++*(unsigned *)arg;
}

static void r44_closing_the_port_leaves_no_op_of_a_file_running(void **state) {
  enum { OPS = 16 };
  for (unsigned closed_first = 0; closed_first < 2; closed_first++) {
    fixture     *f = *state;
    port        *p = fixture_port(f, 1);
    port_handle *h = fixture_file(f, make_file(f, closed_first ? "b" : "a", LARGE_BYTES), OS_FILE_READ, p, KEY(1));
    port_op     *ops = calloc(OPS, sizeof *ops);
    char        *got = malloc(LARGE_BYTES);
    unsigned     drops = 0;
    assert_true(ops != NULL && got != NULL);
    for (size_t i = 0; i < OPS; i++) {
      assert_int_equal(port_read(h, &ops[i], got + i * (LARGE_BYTES / OPS), LARGE_BYTES / OPS, 0), 0);
    }
    if (closed_first) fixture_close(f, h);
    size_t dropped = fixture_close_port(f, p, count_drop, &drops);
    assert_int_equal(dropped, drops);
    if (closed_first) {
      assert_int_equal(drops, OPS);
    } else {
      assert_int_equal(port_read(h, &ops[0], got, 1, 0), PORTICO_ECLOSED);
      assert_in_range(drops, 0, OPS);
      fixture_close(f, h);
    }
    free(got); /* nobody has them in his hands any more */
    free(ops);
  }
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r68_a_read_ends_short_only_at_the_end),
      CASE(r68_reads_at_the_end_and_before_it_may_be_in_flight_together),
      CASE(r68_many_writes_and_reads_at_their_own_offsets),
      CASE(r68_a_large_transfer_is_one_packet),
      CASE(r68_write_then_sync_then_read),
      CASE(r68_what_is_only_read_can_be_synced),
      CASE(r68_what_it_was_not_opened_for_is_refused),
      CASE(r68_a_full_disk_says_so),
      CASE(r68_a_starter_that_exits_leaves_its_ops_behind),
      CASE(r68_workers_share_the_packets_of_a_file),
      CASE(r34_a_file_takes_no_socket_ops_and_a_socket_no_file_ops),
      CASE(r34_a_read_needs_a_buffer_and_a_place),
      CASE(r36_the_key_of_a_file_can_be_changed_between_ops),
      CASE(r37_files_and_sockets_share_a_port),
      CASE(r46_a_cancelled_op_ends_with_one_packet),
      CASE(r46_a_cancel_of_a_lone_op_races_with_its_end),
      CASE(r47_cancel_all_ends_the_ops_of_one_file),
      CASE(r48_cancelling_what_is_over_finds_nothing),
      CASE(r70_very_many_reads_and_then_none),
      CASE(r45_closing_a_file_ends_each_op_once),
      CASE(r45_a_file_closed_behind_its_last_op_has_all_that_was_written),
      CASE(r45_files_closed_together_end_one_by_one),
      CASE(r45_an_unattached_file_just_closes),
      CASE(r44_closing_the_port_leaves_no_op_of_a_file_running),
  };
  return cmocka_run_group_tests_name("files", cases, NULL, NULL);
}
