/* datagram_test.c - contract suite: datagrams (R8, R66). */
#include "loopback.h"

/* Two datagram handles on one port, with keys 1 and 2. */
typedef struct duo {
  port        *p;
  port_handle *a, *b;
  os_addr      a_at, b_at;
} duo;

static duo duo_open(fixture *f) {
  duo d = {.p = fixture_port(f, 1)};
  d.a = loopback_datagram(f, d.p, KEY(1), &d.a_at);
  d.b = loopback_datagram(f, d.p, KEY(2), &d.b_at);
  return d;
}

/* Sends text from a to b and waits for the send's packet. */
static void duo_send(fixture *f, const duo *d, const char *text) {
  port_op *op = fixture_op(f);
  size_t   len = strlen(text);
  char    *copy = memcpy(fixture_memory(f, len + 1), text, len);
  assert_int_equal(port_send_to(d->a, op, BUF(copy, len), 1, &d->b_at), 0);
  expect_packet(d->p, KEY(1), op, (uint32_t)len, 0);
}

static void r66_a_receive_takes_one_datagram_and_its_source(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 100);
  os_addr *from = fixture_memory(f, sizeof *from);
  duo_send(f, &d, "one");
  duo_send(f, &d, "four");
  assert_int_equal(port_recv_from(d.b, op, BUF(data, 100), 1, from), 0);
  expect_packet(d.p, KEY(2), op, 3, 0);
  assert_memory_equal(data, "one", 3);
  assert_int_equal(from->len, d.a_at.len);
  assert_int_equal(os_addr_port(from), os_addr_port(&d.a_at));
  assert_int_equal(port_recv_from(d.b, op, BUF(data, 100), 1, NULL), 0); /* who sent it may be of no interest */
  expect_packet(d.p, KEY(2), op, 4, 0);
  assert_memory_equal(data, "four", 4);
  expect_silence(d.p);
}

static void r66_pending_receives_take_datagrams_in_order(void **state) {
  enum { OPS = 3 };
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *ops = fixture_ops(f, OPS);
  char    *data = fixture_memory(f, OPS);
  for (unsigned i = 0; i < OPS; i++) assert_int_equal(port_recv_from(d.b, &ops[i], BUF(data + i, 1), 1, NULL), 0);
  port_op *sends = fixture_ops(f, OPS);
  char    *text = memcpy(fixture_memory(f, OPS), "abc", OPS);
  unsigned next = 0, sent = 0;
  for (unsigned i = 0; i < OPS; i++) {
    assert_int_equal(port_send_to(d.a, &sends[i], BUF(text + i, 1), 1, &d.b_at), 0);
  }
  while (next < OPS || sent < OPS) {
    port_packet packet = take_packet(d.p);
    assert_int_equal(packet.err, 0);
    if (packet.key == KEY(2)) assert_ptr_equal(packet.op, &ops[next++]);
    else assert_ptr_equal(packet.op, &sends[sent++]);
  }
  assert_memory_equal(data, "abc", OPS);
}

static void r8_a_datagram_that_is_too_long_yields_exactly_one_packet(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 8);
  os_addr *from = fixture_memory(f, sizeof *from);
  duo_send(f, &d, "12345678");
  assert_int_equal(port_recv_from(d.b, op, BUF(data, 4), 1, from), 0); /* it is there when the receive starts */
  expect_packet(d.p, KEY(2), op, 4, PORTICO_EMSGSIZE);
  assert_memory_equal(data, "1234\0\0\0\0", 8);
  assert_int_equal(os_addr_port(from), os_addr_port(&d.a_at));
  expect_silence(d.p);
}

static void r66_a_datagram_that_is_too_long_fills_a_pending_receive(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *op = fixture_op(f), *send = fixture_op(f);
  char    *data = fixture_memory(f, 8), *text = memcpy(fixture_memory(f, 8), "12345678", 8);
  assert_int_equal(port_recv_from(d.b, op, ((port_buf[]){{data, 1}, {data + 4, 2}}), 2, NULL), 0);
  assert_int_equal(port_send_to(d.a, send, BUF(text, 8), 1, &d.b_at), 0);
  for (unsigned i = 0; i < 2; i++) {
    port_packet packet = take_packet(d.p);
    assert_int_equal(packet.err, packet.op == op ? PORTICO_EMSGSIZE : 0);
    assert_int_equal(packet.bytes, packet.op == op ? 3 : 8);
  }
  assert_memory_equal(data, "1\0\0\0" "23\0\0", 8);
  duo_send(f, &d, "ok"); /* the rest was dropped, the socket works on */
  assert_int_equal(port_recv_from(d.b, op, BUF(data, 8), 1, NULL), 0);
  expect_packet(d.p, KEY(2), op, 2, 0);
  expect_silence(d.p);
}

static void r66_an_empty_datagram_is_one_like_any_other(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *op = fixture_op(f);
  char    *data = fixture_memory(f, 8);
  os_addr *from = fixture_memory(f, sizeof *from);
  duo_send(f, &d, "");
  duo_send(f, &d, "x");
  assert_int_equal(port_recv_from(d.b, op, BUF(data, 8), 1, from), 0);
  expect_packet(d.p, KEY(2), op, 0, 0);
  assert_int_equal(os_addr_port(from), os_addr_port(&d.a_at));
  assert_int_equal(port_recv_from(d.b, op, BUF(data, 8), 1, NULL), 0);
  expect_packet(d.p, KEY(2), op, 1, 0);
  expect_silence(d.p);
}

static void r66_a_datagram_beyond_the_limit_is_not_sent(void **state) {
  enum { BYTES = 70000 };
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *op = fixture_op(f), *recv = fixture_op(f);
  char    *data = fixture_memory(f, BYTES), *back = fixture_memory(f, 8);
  int      err = port_send_to(d.a, op, BUF(data, BYTES), 1, &d.b_at);
  if (err == 0) expect_packet(d.p, KEY(1), op, 0, PORTICO_EMSGSIZE);
  else assert_int_equal(err, PORTICO_EMSGSIZE);
  duo_send(f, &d, "ok");
  assert_int_equal(port_recv_from(d.b, recv, BUF(back, 8), 1, NULL), 0);
  expect_packet(d.p, KEY(2), recv, 2, 0); /* the first thing that arrives */
  expect_silence(d.p);
}

static void r66_nobody_listening_is_no_error_on_an_unconnected_socket(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *recv = fixture_op(f), *send = fixture_op(f);
  char    *data = fixture_memory(f, 8);
  os_addr  gone;
  fixture_close(f, loopback_datagram(f, d.p, KEY(3), &gone));
  assert_int_equal(port_recv_from(d.b, recv, BUF(data, 8), 1, NULL), 0);
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(port_send_to(d.b, send, BUF(data + 4, 1), 1, &gone), 0);
    expect_packet(d.p, KEY(2), send, 1, 0);
    fixture_pause(MS(5)); /* for the kernel's "port unreachable" */
  }
  port_op *live = fixture_op(f);
  assert_int_equal(port_send_to(d.a, live, BUF(data + 4, 2), 1, &d.b_at), 0);
  for (unsigned i = 0; i < 2; i++) {
    port_packet packet = take_packet(d.p);
    assert_int_equal(packet.err, 0);
    assert_int_equal(packet.bytes, 2);
  }
  expect_silence(d.p);
}

static void r66_a_connected_socket_sends_without_an_address(void **state) {
  fixture  *f = *state;
  port     *p = fixture_port(f, 1);
  os_addr   at;
  os_socket s = loopback_socket(f, OS_UDP);
  port_op  *recv = fixture_op(f), *send = fixture_op(f);
  char     *data = fixture_memory(f, 8);
  port_handle *b = loopback_datagram(f, p, KEY(2), &at);
  assert_int_equal(os_socket_connect(s, &at), 0);
  port_handle *a = fixture_handle(f, s, PORT_DATAGRAM, p, KEY(1));
  assert_int_equal(port_send_to(a, send, BUF(memcpy(data, "hi", 2), 2), 1, NULL), 0);
  expect_packet(p, KEY(1), send, 2, 0);
  assert_int_equal(port_recv_from(b, recv, BUF(data + 4, 4), 1, NULL), 0);
  expect_packet(p, KEY(2), recv, 2, 0);
  assert_memory_equal(data + 4, "hi", 2);
}

static void r66_nowhere_to_send_to_is_an_error(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  int      err = port_send_to(d.a, op, BUF(byte, 1), 1, NULL);
  if (err == 0) err = take_packet(d.p).err;
  assert_true(err < 0);
  expect_silence(d.p);
}

static void r66_gathered_pieces_make_one_datagram(void **state) {
  fixture *f = *state;
  duo      d = duo_open(f);
  port_op *send = fixture_op(f), *recv = fixture_op(f);
  char    *data = memcpy(fixture_memory(f, 16), "abcd", 4);
  os_addr  to = d.b_at;
  port_buf bufs[3] = {{data + 2, 2}, {data, 1}, {data + 1, 1}};
  assert_int_equal(port_send_to(d.a, send, bufs, 3, &to), 0);
  memset(bufs, 0, sizeof bufs); /* array and address were copied */
  memset(&to, 0, sizeof to);
  expect_packet(d.p, KEY(1), send, 4, 0);
  assert_int_equal(port_recv_from(d.b, recv, BUF(data + 8, 8), 1, NULL), 0);
  expect_packet(d.p, KEY(2), recv, 4, 0);
  assert_memory_equal(data + 8, "cdab", 4);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r66_a_receive_takes_one_datagram_and_its_source),
      CASE(r66_pending_receives_take_datagrams_in_order),
      CASE(r8_a_datagram_that_is_too_long_yields_exactly_one_packet),
      CASE(r66_a_datagram_that_is_too_long_fills_a_pending_receive),
      CASE(r66_an_empty_datagram_is_one_like_any_other),
      CASE(r66_a_datagram_beyond_the_limit_is_not_sent),
      CASE(r66_nobody_listening_is_no_error_on_an_unconnected_socket),
      CASE(r66_a_connected_socket_sends_without_an_address),
      CASE(r66_nowhere_to_send_to_is_an_error),
      CASE(r66_gathered_pieces_make_one_datagram),
  };
  return cmocka_run_group_tests_name("datagram", cases, NULL, NULL);
}
