/* stream_test.c - contract suite: bytes, ends, resets, accepting and connecting (R52 to R55, R57, R58, R60, R62, R64,
 * R70). */
#include "loopback.h"
#include "worker.h"

/* ---- R52, R53: receiving ---- */

static void r52_a_receive_ends_with_what_is_there(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 100);
  assert_int_equal(port_recv(c.here, op, BUF(data, 100), 1), 0);
  assert_true(peer_send(c.there, "abc", 3));
  expect_packet(p, KEY(1), op, 3, 0);
  assert_memory_equal(data, "abc", 3);
}

static void r52_a_receive_scatters(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 16);
  port_buf bufs[3] = {{data, 2}, {data + 8, 3}, {data + 4, 1}};
  assert_true(pair_deliver(&c, "abcdefgh"));
  assert_int_equal(port_recv(c.here, op, bufs, 3), 0);
  expect_packet(p, KEY(1), op, 6, 0);
  assert_memory_equal(data, "ab\0\0f\0\0\0cde\0", 12);
}

static void r52_the_end_is_a_success_of_no_bytes_and_stays(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 4);
  assert_int_equal(port_recv(c.here, op, BUF(data, 4), 1), 0);
  assert_int_equal(os_socket_shutdown_send(c.there), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(port_recv(c.here, op, BUF(data, 4), 1), 0);
    expect_packet(p, KEY(1), op, 0, 0);
  }
  assert_int_equal(port_send(c.here, op, BUF(data, 4), 1), 0); /* the other direction is open */
  expect_packet(p, KEY(1), op, 4, 0);
  assert_true(peer_recv(c.there, data, 4));
}

static void r52_the_end_comes_after_the_last_byte(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = pair_start_receives(f, c.here, 3);
  assert_true(peer_send(c.there, "ab", 2));
  assert_int_equal(os_socket_shutdown_send(c.there), 0);
  expect_packet(p, KEY(1), &ops[0], 1, 0);
  expect_packet(p, KEY(1), &ops[1], 1, 0);
  expect_packet(p, KEY(1), &ops[2], 0, 0);
}

static void r53_receives_fill_in_the_order_they_were_started(void **state) {
  enum { OPS = 4, SLICE = 7 }; /* fills the smallest buffer that a backend has */
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = fixture_ops(f, OPS);
  char    *data = fixture_memory(f, OPS * SLICE), *sent = fixture_memory(f, OPS * SLICE);
  for (unsigned i = 0; i < OPS; i++) assert_int_equal(port_recv(c.here, &ops[i], BUF(data + i * SLICE, SLICE), 1), 0);
  pattern_fill(sent, OPS * SLICE, 0);
  assert_true(peer_send(c.there, sent, OPS * SLICE));
  for (unsigned i = 0; i < OPS; i++) expect_packet(p, KEY(1), &ops[i], SLICE, 0);
  assert_memory_equal(data, sent, OPS * SLICE);
}

/* ---- R54, R55: sending ---- */

static void small_buffers(const pair *c) {
  os_socket_set_buffers(port_handle_socket(c->here), 32 * 1024, 0);
  os_socket_set_buffers(c->there, 0, 32 * 1024);
}

static pattern_reader *start_reader(fixture *f, worker *w, os_socket s, size_t total) {
  pattern_reader *r = fixture_memory(f, sizeof *r);
  r->s = s;
  r->total = total;
  worker_run(w, pattern_read, r);
  return r;
}

static void r54_sends_leave_in_the_order_they_were_started(void **state) {
  enum { SENDS = 100, SEND_BYTES = 64 * 1024 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = fixture_ops(f, SENDS);
  char    *data = fixture_memory(f, (size_t)SENDS * SEND_BYTES);
  worker  *w = worker_start(f);
  small_buffers(&c);
  pattern_fill(data, (size_t)SENDS * SEND_BYTES, 0);
  for (unsigned i = 0; i < SENDS; i++) {
    char *mine = data + (size_t)i * SEND_BYTES;
    assert_int_equal(port_send(c.here, &ops[i], ((port_buf[]){{mine, 1000}, {mine + 1000, SEND_BYTES - 1000}}), 2), 0);
  }
  pattern_reader *r = start_reader(f, w, c.there, (size_t)SENDS * SEND_BYTES);
  for (unsigned i = 0; i < SENDS; i++) expect_packet(p, KEY(1), &ops[i], SEND_BYTES, 0);
  assert_true(worker_returned(w));
  assert_true(r->good);
}

static void r55_a_send_ends_when_all_its_bytes_are_taken(void **state) {
  enum { ALL_BYTES = 8 << 20 };
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  pair        c = loopback_pair(f, p, KEY(1));
  port_op    *op = fixture_op(f);
  char       *data = fixture_memory(f, ALL_BYTES);
  worker     *w = worker_start(f);
  port_packet packet;
  small_buffers(&c);
  pattern_fill(data, ALL_BYTES, 0);
  assert_int_equal(port_send(c.here, op, BUF(data, ALL_BYTES), 1), 0);
  assert_int_equal(port_get(p, &packet, 1, MS(200)), PORTICO_ETIMEDOUT); /* nobody reads */
  pattern_reader *r = start_reader(f, w, c.there, ALL_BYTES);
  expect_packet(p, KEY(1), op, ALL_BYTES, 0);
  assert_true(worker_returned(w));
  assert_true(r->good);
  expect_silence(p);
}

static void r55_a_cancelled_send_tells_how_much_was_taken(void **state) {
  enum { ALL_BYTES = 8 << 20 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, ALL_BYTES);
  small_buffers(&c);
  pattern_fill(data, ALL_BYTES, 0);
  assert_int_equal(port_send(c.here, op, BUF(data, ALL_BYTES), 1), 0);
  /* Wine does not find a send of which its server is just moving a part: then ask again. */
  int64_t end = os_clock_now() + fixture_deadline();
  int     err = port_cancel(op);
  while (err == PORTICO_ENOTFOUND && fixture_slow() && os_clock_now() < end) err = port_cancel(op);
  assert_int_equal(err, 0);
  port_packet packet = take_packet(p);
  assert_int_equal(packet.err, PORTICO_ECANCELED);
  assert_in_range(packet.bytes, 0, ALL_BYTES - 1);
  assert_int_equal(port_shutdown_send(c.here), 0);
  worker         *w = worker_start(f);
  pattern_reader *r = start_reader(f, w, c.there, packet.bytes);
  assert_true(worker_returned(w));
  assert_true(r->good);
  assert_true(peer_at_end(c.there)); /* not one byte more */
}

/* ---- R57: resets ---- */

static void r57_a_reset_ends_a_pending_receive(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = pair_start_receives(f, c.here, 1);
  peer_reset(f, c.there);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECONNRESET);
  expect_silence(p);
}

static void r57_a_reset_ends_a_pending_send(void **state) {
  enum { SEND_BYTES = 1 << 20 };
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  pair_fill(&c);
  assert_int_equal(port_send(c.here, op, BUF(fixture_memory(f, SEND_BYTES), SEND_BYTES), 1), 0);
  peer_reset(f, c.there);
  port_packet packet = take_packet(p);
  assert_ptr_equal(packet.op, op);
  assert_true(packet.err == PORTICO_ECONNRESET || packet.err == PORTICO_EPIPE);
  assert_in_range(packet.bytes, 0, SEND_BYTES - 1);
  expect_silence(p);
}

static void r57_a_send_after_a_reset_fails_by_call_or_packet(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = pair_start_receives(f, c.here, 1), *send = fixture_op(f);
  peer_reset(f, c.there);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECONNRESET);
  int err = port_send(c.here, send, BUF(fixture_memory(f, 1), 1), 1);
  if (err == 0) {
    port_packet packet = take_packet(p);
    assert_ptr_equal(packet.op, send);
    err = packet.err;
  }
  assert_true(err == PORTICO_ECONNRESET || err == PORTICO_EPIPE || err == PORTICO_ENOTCONN);
  expect_silence(p);
}

/* ---- R58: half-close ---- */

static void r58_a_half_close_leaves_a_pending_receive_alone(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = pair_start_receives(f, c.here, 2);
  assert_int_equal(port_shutdown_send(c.here), 0);
  assert_true(peer_at_end(c.there));
  assert_int_equal(fixture_stat_of(p, PENDING), 2);
  assert_true(peer_send(c.there, "x", 1));
  expect_packet(p, KEY(1), &ops[0], 1, 0);
  assert_true(peer_send(c.there, "y", 1));
  expect_packet(p, KEY(1), &ops[1], 1, 0);
}

static void r58_the_end_follows_all_sent_bytes(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 4);
  assert_int_equal(port_send(c.here, op, BUF(memcpy(data, "last", 4), 4), 1), 0);
  expect_packet(p, KEY(1), op, 4, 0);
  assert_int_equal(port_shutdown_send(c.here), 0);
  assert_true(peer_recv(c.there, data, 4));
  assert_true(peer_at_end(c.there));
}

static void r58_what_was_shut_sends_no_more(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  assert_int_equal(port_shutdown_send(c.here), 0);
  assert_int_equal(port_shutdown_send(c.here), PORTICO_ESHUTDOWN);
  assert_int_equal(port_send(c.here, op, BUF(byte, 1), 1), PORTICO_ESHUTDOWN);
  assert_int_equal(port_try_send(c.here, BUF(byte, 1), 1), PORTICO_ESHUTDOWN);
  assert_int_equal(port_send_soon(c.here, BUF(byte, 1), 1), PORTICO_ESHUTDOWN);
  expect_silence(p);
}

/* ---- R60, R62: accepting ---- */

static void r60_accepts_take_connections_in_order(void **state) {
  enum { ACCEPTS = 3 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *ops = fixture_ops(f, ACCEPTS);
  for (unsigned i = 0; i < ACCEPTS; i++) assert_int_equal(port_accept(listener, &ops[i]), 0);
  for (unsigned i = 0; i < ACCEPTS; i++) {
    os_addr own, peer = {0};
    assert_int_equal(os_socket_local(loopback_client(f, &at), &own), 0);
    expect_packet(p, KEY(1), &ops[i], 0, 0);
    fixture_own(f, port_accepted(&ops[i], &peer));
    assert_int_equal(os_addr_port(&peer), os_addr_port(&own));
    char text[OS_ADDR_TEXT];
    os_addr_format(&peer, text);
    assert_memory_equal(text, "127.0.0.1:", 10);
  }
  expect_silence(p);
}

static void r60_each_connection_is_accepted_exactly_once(void **state) {
  enum { CLIENTS = 20 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  unsigned char seen[65536 / 8] = {0};
  for (unsigned i = 0; i < CLIENTS; i++) loopback_client(f, &at); /* they wait in the kernel */
  for (unsigned i = 0; i < CLIENTS; i++) {
    os_addr peer;
    assert_int_equal(port_accept(listener, op), 0);
    expect_packet(p, KEY(1), op, 0, 0);
    fixture_own(f, port_accepted(op, &peer));
    unsigned number = os_addr_port(&peer);
    assert_int_equal(seen[number / 8] >> number % 8 & 1, 0);
    seen[number / 8] |= (unsigned char)(1u << number % 8);
  }
  assert_int_equal(port_accept(listener, op), 0);
  assert_int_equal(port_cancel(op), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_ECANCELED);
}

static void r62_an_accepted_socket_knows_its_peer_and_can_half_close(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at, peer, own;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  assert_int_equal(port_accept(listener, op), 0);
  os_socket client = loopback_client(f, &at);
  expect_packet(p, KEY(1), op, 0, 0);
  port_handle *h = fixture_handle(f, fixture_own(f, port_accepted(op, NULL)), PORT_STREAM, p, KEY(2));
  assert_int_equal(os_socket_peer(port_handle_socket(h), &peer), 0);
  assert_int_equal(os_socket_local(client, &own), 0);
  assert_int_equal(os_addr_port(&peer), os_addr_port(&own));
  assert_int_equal(port_shutdown_send(h), 0);
  assert_true(peer_at_end(client));
}

/* More than a backend that accepts ahead likes to keep. */
static void r60_very_many_clients_wait_for_the_first_accept(void **state) {
  enum { CLIENTS = 257 }; /* what Linux keeps for a listener that asks for 256 */
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  unsigned     count = strcmp(port_name(p), "sim") == 0 ? CLIENTS - 1 : fixture_rounds(CLIENTS);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  for (unsigned i = 0; i < count; i++) loopback_client(f, &at);
  for (unsigned i = 0; i < count; i++) {
    assert_int_equal(port_accept(listener, op), 0);
    expect_packet(p, KEY(1), op, 0, 0);
    fixture_own(f, port_accepted(op, NULL));
  }
  expect_silence(p);
}

/* Clients that no accept has taken yet see the end of their connection. */
static void r45_closing_a_listener_ends_who_waited_there(void **state) {
  enum { CLIENTS = 4 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  for (unsigned polled = 0; polled < 2; polled++) {
    os_addr      at;
    os_socket    clients[CLIENTS];
    port_handle *listener = loopback_listener(f, p, KEY(1), &at);
    port_op     *op = fixture_op(f);
    assert_int_equal(port_accept(listener, op), 0);
    for (unsigned i = 0; i < CLIENTS; i++) clients[i] = loopback_client(f, &at);
    if (polled) expect_packet(p, KEY(1), op, 0, 0);
    if (polled) fixture_own(f, port_accepted(op, NULL));
    fixture_close(f, listener);
    if (!polled && take_packet(p).err == 0) fixture_own(f, port_accepted(op, NULL));
    expect_silence(p);
    char    byte;
    int64_t n = PORTICO_EAGAIN;
    while (n == PORTICO_EAGAIN && os_socket_wait(clients[CLIENTS - 1], OS_READABLE, fixture_deadline()) > 0) {
      n = os_socket_recv(clients[CLIENTS - 1], &byte, 1);
    }
    assert_true(n == 0 || n == PORTICO_ECONNRESET);
  }
}

static void r52_an_end_that_is_there_before_the_receive(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  assert_int_equal(os_socket_shutdown_send(c.there), 0);
  assert_true(os_socket_wait(port_handle_socket(c.here), OS_READABLE, fixture_deadline()) > 0);
  for (unsigned i = 0; i < 2; i++) expect_packet(p, KEY(1), pair_start_receives(f, c.here, 1), 0, 0);
}

static void r57_a_reset_that_is_there_before_the_receive(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  peer_reset(f, c.there);
  assert_true(os_socket_wait(port_handle_socket(c.here), OS_READABLE, fixture_deadline()) > 0);
  int err = port_recv(c.here, op, BUF(byte, 1), 1);
  if (err == 0) err = take_packet(p).err;
  assert_true(here_was_reset(c.here, err));
}

static void r53_a_receive_passes_over_empty_buffers(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 4);
  port_buf bufs[] = {{data, 0}, {data, 1}, {data, 0}, {data + 1, 3}};
  assert_int_equal(port_recv(c.here, op, bufs, 4), 0);
  assert_true(peer_send(c.there, "data", 4));
  port_packet packet = take_packet(p);
  assert_true(packet.err == 0 && packet.bytes == 4);
  assert_memory_equal(data, "data", 4);
}

/* ---- R64: connecting ---- */

static void r64_a_connect_ends_with_a_usable_stream(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at, peer;
  os_socket    listener = loopback_listen(f, &at);
  port_handle *h = loopback_stream(f, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *data = fixture_memory(f, 4);
  os_addr      to = at;
  assert_int_equal(port_connect(h, op, &to), 0);
  memset(&to, 0, sizeof to); /* it was copied */
  expect_packet(p, KEY(1), op, 0, 0);
  os_socket server = loopback_accept(f, listener);
  assert_int_equal(os_socket_peer(port_handle_socket(h), &peer), 0);
  assert_int_equal(os_addr_port(&peer), os_addr_port(&at));
  assert_int_equal(port_send(h, op, BUF(memcpy(data, "ping", 4), 4), 1), 0);
  expect_packet(p, KEY(1), op, 4, 0);
  assert_true(peer_recv(server, data, 4) && peer_send(server, "pong", 4));
  port_op *recvs = fixture_op(f);
  assert_int_equal(port_recv(h, recvs, BUF(data, 4), 1), 0);
  expect_packet(p, KEY(1), recvs, 4, 0);
  assert_memory_equal(data, "pong", 4);
  assert_int_equal(port_shutdown_send(h), 0);
  assert_true(peer_at_end(server));
}

static void r64_a_refused_connect_fails(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = loopback_stream(f, p, KEY(1));
  os_addr      dead = loopback_dead_addr(f);
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  int          err = port_connect(h, op, &dead);
  if (err == 0) expect_packet(p, KEY(1), op, 0, PORTICO_ECONNREFUSED);
  else assert_int_equal(err, PORTICO_ECONNREFUSED);
  assert_int_equal(port_recv(h, op, BUF(byte, 1), 1), PORTICO_ENOTCONN);
  expect_silence(p);
}

static void r64_a_connected_stream_refuses_to_connect(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  os_addr  at = loopback_dead_addr(f);
  assert_int_equal(port_connect(c.here, fixture_op(f), &at), PORTICO_EISCONN);
  expect_silence(p);
}

/* Nobody accepts: the connect may be under way still, or over already. */
static void r64_a_stream_that_connects_refuses_to_connect_again(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_op     *op = fixture_op(f);
  port_handle *h = loopback_stream(f, p, KEY(1));
  loopback_listen(f, &at);
  assert_int_equal(port_connect(h, op, &at), 0);
  assert_int_equal(port_connect(h, fixture_op(f), &at), PORTICO_EISCONN);
  expect_packet(p, KEY(1), op, 0, 0);
  assert_int_equal(port_connect(h, fixture_op(f), &at), PORTICO_EISCONN);
  expect_silence(p);
}

static void r64_after_a_refusal_it_may_try_another_address(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = loopback_stream(f, p, KEY(1));
  os_addr      dead = loopback_dead_addr(f), at;
  port_op     *op = fixture_op(f);
  if (fixture_slow()) {
    print_message("skipped: Windows wants a new socket for each try\n");
    skip();
  }
  loopback_listen(f, &at);
  if (port_connect(h, op, &dead) == 0) expect_packet(p, KEY(1), op, 0, PORTICO_ECONNREFUSED);
  int err = port_connect(h, op, &at);
  if (err == PORTICO_ECONNABORTED) err = port_connect(h, op, &at); /* Linux says once that there was a first try */
  assert_int_equal(err, 0);
  expect_packet(p, KEY(1), op, 0, 0);
  expect_silence(p);
}

/* Nobody takes what waits at the listener, so that the kernel keeps the last ones in suspense. */
static void r64_a_connect_that_hangs_can_be_cancelled(void **state) {
  enum { CLIENTS = 4 };
  fixture  *f = *state;
  port     *p = fixture_port(f, 1);
  os_addr   at;
  os_socket listener = loopback_socket(f, OS_TCP);
  if (fixture_slow()) {
    print_message("skipped: Windows refuses what a listener has no room for\n");
    skip();
  }
  at = loopback_addr(0);
  assert_int_equal(os_socket_bind(listener, &at), 0);
  assert_int_equal(os_socket_local(listener, &at), 0);
  assert_int_equal(os_socket_listen(listener, 1), 0);
  port_handle *handles[CLIENTS];
  port_op     *ops = fixture_ops(f, CLIENTS);
  for (unsigned i = 0; i < CLIENTS; i++) {
    handles[i] = loopback_stream(f, p, KEY(1));
    assert_int_equal(port_connect(handles[i], &ops[i], &at), 0);
    assert_int_equal(port_connect(handles[i], fixture_op(f), &at), PORTICO_EISCONN);
  }
  int cancelled = port_cancel(&ops[CLIENTS - 1]);
  fixture_close(f, handles[CLIENTS - 2]);
  for (unsigned i = 0; i < CLIENTS; i++) {
    port_packet packet = take_packet(p);
    if (packet.op == &ops[CLIENTS - 1]) assert_true(cancelled == 0 && packet.err == PORTICO_ECANCELED);
    else assert_true(packet.err == 0 || packet.err == PORTICO_ETIMEDOUT || packet.op == &ops[CLIENTS - 2]);
  }
  expect_silence(p);
}

static void r64_an_unconnected_stream_moves_nothing(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = loopback_stream(f, p, KEY(1));
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  assert_int_equal(port_recv(h, op, BUF(byte, 1), 1), PORTICO_ENOTCONN);
  assert_int_equal(port_recv_ready(h, op), PORTICO_ENOTCONN);
  assert_int_equal(port_send(h, op, BUF(byte, 1), 1), PORTICO_ENOTCONN);
  assert_int_equal(port_try_send(h, BUF(byte, 1), 1), PORTICO_ENOTCONN);
  assert_int_equal(port_send_soon(h, BUF(byte, 1), 1), PORTICO_ENOTCONN);
  assert_int_equal(port_shutdown_send(h), PORTICO_ENOTCONN);
  expect_silence(p);
}

/* ---- R70: many operations ---- */

static void r70_every_started_op_of_very_many_comes_back(void **state) {
  fixture   *f = *state;
  port      *p = fixture_port(f, 1);
  unsigned   streams = fixture_slow() ? 50 : 200, each = fixture_slow() ? 40 : 500, started = 0, taken = 0;
  port_op   *ops = fixture_ops(f, (size_t)streams * each);
  char      *bytes = fixture_memory(f, (size_t)streams * each);
  pair      *pairs = fixture_memory(f, streams * sizeof *pairs);
  for (unsigned i = 0; i < streams; i++) {
    pairs[i] = loopback_pair(f, p, KEY(i));
    for (unsigned k = i * each; k < (i + 1) * each; k++) {
      int err = port_recv(pairs[i].here, &ops[k], BUF(bytes + k, 1), 1);
      assert_true(err == 0 || err == PORTICO_ENOBUFS);
      started += err == 0;
    }
  }
  assert_int_equal(fixture_stat_of(p, PENDING), started);
  for (unsigned i = 0; i < streams; i++) fixture_close(f, pairs[i].here);
  for (; taken < started; taken++) {
    port_packet packet = take_packet(p);
    size_t      index = (size_t)(packet.op - ops);
    assert_int_equal(packet.err, PORTICO_ECANCELED);
    assert_int_equal(bytes[index]++, 0);
    assert_int_equal((uintptr_t)packet.key, index / each);
  }
  expect_silence(p);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r52_a_receive_ends_with_what_is_there),
      CASE(r52_a_receive_scatters),
      CASE(r52_the_end_is_a_success_of_no_bytes_and_stays),
      CASE(r52_the_end_comes_after_the_last_byte),
      CASE(r53_receives_fill_in_the_order_they_were_started),
      CASE(r54_sends_leave_in_the_order_they_were_started),
      CASE(r55_a_send_ends_when_all_its_bytes_are_taken),
      CASE(r55_a_cancelled_send_tells_how_much_was_taken),
      CASE(r57_a_reset_ends_a_pending_receive),
      CASE(r57_a_reset_ends_a_pending_send),
      CASE(r57_a_send_after_a_reset_fails_by_call_or_packet),
      CASE(r58_a_half_close_leaves_a_pending_receive_alone),
      CASE(r58_the_end_follows_all_sent_bytes),
      CASE(r58_what_was_shut_sends_no_more),
      CASE(r60_accepts_take_connections_in_order),
      CASE(r60_each_connection_is_accepted_exactly_once),
      CASE(r62_an_accepted_socket_knows_its_peer_and_can_half_close),
      CASE(r60_very_many_clients_wait_for_the_first_accept),
      CASE(r45_closing_a_listener_ends_who_waited_there),
      CASE(r52_an_end_that_is_there_before_the_receive),
      CASE(r57_a_reset_that_is_there_before_the_receive),
      CASE(r53_a_receive_passes_over_empty_buffers),
      CASE(r64_a_connect_ends_with_a_usable_stream),
      CASE(r64_a_refused_connect_fails),
      CASE(r64_a_connected_stream_refuses_to_connect),
      CASE(r64_a_stream_that_connects_refuses_to_connect_again),
      CASE(r64_after_a_refusal_it_may_try_another_address),
      CASE(r64_a_connect_that_hangs_can_be_cancelled),
      CASE(r64_an_unconnected_stream_moves_nothing),
      CASE(r70_every_started_op_of_very_many_comes_back),
  };
  return cmocka_run_group_tests_name("stream", cases, NULL, NULL);
}
