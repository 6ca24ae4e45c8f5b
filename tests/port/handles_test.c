/* handles_test.c - contract suite: ports, handles and keys (R34 to R36, R40, R41, R43). */
#include "loopback.h"
#include "worker.h"

/* ---- R34: arguments ---- */

static void r34_a_port_needs_a_backend_that_exists(void **state) {
  port        *p = NULL;
  port_options options = {.backend = "no such backend"};
  (void)state;
  assert_int_equal(port_open(&options, &p), PORTICO_ENOTSUP);
  assert_null(p);
  assert_int_equal(port_open(NULL, &p), PORTICO_EINVAL);
  assert_int_equal(port_open(&options, NULL), PORTICO_EINVAL);
}

static void r34_the_first_backend_is_the_default(void **state) {
  port        *p = NULL;
  port_options options = {.backend = "auto"};
  (void)state;
  assert_int_equal(port_open(&options, &p), 0);
  assert_string_equal(port_name(p), port_backend_name(0));
  assert_int_equal(port_close(p, NULL, NULL), 0);
  port_unref(p);
}

static void r34_attaching_needs_a_port_and_a_handle(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *none = NULL, *h = fixture_handle(f, loopback_socket(f, OS_TCP), PORT_STREAM, NULL, NULL);
  assert_int_equal(port_handle_open(OS_SOCKET_NONE, PORT_STREAM, &none), PORTICO_EINVAL);
  assert_int_equal(port_handle_open(port_handle_socket(h), PORT_FILE + 1, &none), PORTICO_EINVAL);
  assert_int_equal(port_handle_open(port_handle_socket(h), PORT_STREAM, NULL), PORTICO_EINVAL);
  assert_int_equal(port_adopt(NULL, port_handle_socket(h), PORT_STREAM, KEY(1), &none), PORTICO_EINVAL);
  assert_int_equal(port_adopt(p, OS_SOCKET_NONE, PORT_STREAM, KEY(1), &none), PORTICO_EINVAL);
  assert_null(none);
  assert_int_equal(port_attach(NULL, h, KEY(1)), PORTICO_EINVAL);
  assert_int_equal(port_attach(p, NULL, KEY(1)), PORTICO_EINVAL);
  assert_int_equal(port_attach(p, h, KEY(1)), 0);
}

static void r34_an_unattached_handle_starts_nothing(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = fixture_handle(f, loopback_socket(f, OS_TCP), PORT_STREAM, NULL, NULL);
  os_addr      dead = loopback_dead_addr(f);
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  assert_int_equal(port_connect(h, op, &dead), PORTICO_EINVAL);
  assert_int_equal(port_recv(h, op, BUF(byte, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_send(h, op, BUF(byte, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_recv_ready(h, op), PORTICO_EINVAL);
  assert_int_equal(port_shutdown_send(h), PORTICO_EINVAL);
  assert_int_equal(port_cancel_all(h), PORTICO_EINVAL);
  assert_int_equal(port_cancel(op), PORTICO_ENOTFOUND);
  expect_silence(p);
}

static void r34_an_op_needs_all_its_arguments(void **state) {
  fixture    *f = *state;
  port       *p = fixture_port(f, 1);
  pair        c = loopback_pair(f, p, KEY(1));
  os_addr     at, nowhere = {0};
  port_handle *fresh = loopback_stream(f, p, KEY(1)), *d = loopback_datagram(f, p, KEY(1), &at);
  port_op    *op = fixture_op(f);
  char       *byte = fixture_memory(f, 1);
  assert_int_equal(port_get(p, NULL, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_recv_ready(NULL, op), PORTICO_EINVAL);
  assert_int_equal(port_recv_ready(c.here, NULL), PORTICO_EINVAL);
  assert_int_equal(port_recv(c.here, op, NULL, 1), PORTICO_EINVAL);
  assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 0), PORTICO_EINVAL);
  assert_int_equal(port_send(c.here, op, BUF(byte, 1), PORT_BUFS_MAX + 1), PORTICO_EINVAL);
  assert_int_equal(port_recv_from(d, op, NULL, 1, NULL), PORTICO_EINVAL);
  assert_int_equal(port_send_to(d, op, NULL, 1, &at), PORTICO_EINVAL);
  assert_int_equal(port_connect(fresh, op, NULL), PORTICO_EINVAL);
  assert_int_equal(port_connect(fresh, op, &nowhere), PORTICO_EINVAL);
  assert_int_equal(port_timer(NULL, op, KEY(1), 0), PORTICO_EINVAL);
  assert_int_equal(port_timer(p, NULL, KEY(1), 0), PORTICO_EINVAL);
  assert_int_equal(port_post_op(NULL, KEY(1), op), PORTICO_EINVAL);
  assert_int_equal(port_post_op(p, KEY(1), NULL), PORTICO_EINVAL);
  expect_silence(p);
}

static void r34_a_handle_of_another_kind_starts_nothing(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  pair         c = loopback_pair(f, p, KEY(1));
  os_addr      at;
  port_handle *d = loopback_datagram(f, p, KEY(1), &at), *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  assert_int_equal(port_accept(c.here, op), PORTICO_EINVAL);
  assert_int_equal(port_connect(listener, op, &at), PORTICO_EINVAL);
  assert_int_equal(port_recv(d, op, BUF(byte, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_send(d, op, BUF(byte, 1), 1), PORTICO_EINVAL);
  assert_int_equal(port_recv_ready(listener, op), PORTICO_EINVAL);
  assert_int_equal(port_recv_from(c.here, op, BUF(byte, 1), 1, NULL), PORTICO_EINVAL);
  assert_int_equal(port_send_to(c.here, op, BUF(byte, 1), 1, &at), PORTICO_EINVAL);
  assert_int_equal(port_shutdown_send(d), PORTICO_EINVAL);
  assert_int_equal(port_read(c.here, op, byte, 1, 0), PORTICO_EINVAL);
  assert_int_equal(port_sync(c.here, op), PORTICO_EINVAL);
  expect_silence(p);
}

static void r45_a_handle_that_no_port_has_may_be_aborted(void **state) {
  fixture  *f = *state;
  os_socket ends[2];
  os_file   file;
  loopback_sockets(f, ends);
  fixture_abort(f, fixture_handle(f, ends[0], PORT_STREAM, NULL, NULL));
  assert_true(peer_was_reset(ends[1]));
  const char *path = fixture_path(f, "aborted");
  fixture_abort(f, fixture_file(f, path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_NEW, NULL, NULL));
  assert_int_equal(os_file_open(path, OS_FILE_READ, &file), 0);
  os_file_close(file);
}

/* ---- R35, R36: once for life, the key ---- */

/* Starts a receive, delivers a byte and expects the packet on that port with that key. */
static void check_delivery(fixture *f, const pair *c, port *p, void *key) {
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  assert_int_equal(port_recv(c->here, op, BUF(byte, 1), 1), 0);
  assert_true(peer_send(c->there, "x", 1));
  expect_packet(p, key, op, 1, 0);
}

static void r35_a_handle_is_attached_once_for_life(void **state) {
  fixture *f = *state;
  port    *first = fixture_port(f, 1), *second = fixture_port(f, 1);
  pair     c = loopback_pair(f, first, KEY(1));
  assert_int_equal(port_attach(first, c.here, KEY(1)), PORTICO_EINVAL);
  assert_int_equal(port_attach(first, c.here, KEY(2)), PORTICO_EINVAL);
  assert_int_equal(port_attach(second, c.here, KEY(1)), PORTICO_EINVAL);
  assert_int_equal(port_attach(second, c.here, KEY(3)), PORTICO_EINVAL);
  check_delivery(f, &c, first, KEY(1));
  expect_silence(second);
}

static void r36_each_packet_carries_the_key_of_its_handle(void **state) {
  enum { HANDLES = 3 };
  static void *const keys[HANDLES] = {NULL, (void *)UINTPTR_MAX, (void *)1};
  fixture           *f = *state;
  port              *p = fixture_port(f, 1);
  pair               pairs[HANDLES];
  for (unsigned i = 0; i < HANDLES; i++) pairs[i] = loopback_pair(f, p, keys[i]);
  for (unsigned i = 0; i < 12; i++) check_delivery(f, &pairs[i * 7 % HANDLES], p, keys[i * 7 % HANDLES]);
}

static void r36_the_key_may_change_while_nothing_is_under_way(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  check_delivery(f, &c, p, KEY(1));
  port_handle_set_key(c.here, KEY(2));
  check_delivery(f, &c, p, KEY(2));
}

/* ---- R40: accepted sockets ---- */

static void r40_an_accept_carries_the_listeners_key_and_its_socket_is_free(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1), *other = fixture_port(f, 1);
  os_addr      at, peer = {0};
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  assert_int_equal(port_accept(listener, op), 0);
  os_socket client = loopback_client(f, &at);
  expect_packet(p, KEY(1), op, 0, 0);
  os_socket s = fixture_own(f, port_accepted(op, &peer));
  pair      c = {.here = fixture_handle(f, s, PORT_STREAM, other, KEY(2)), .there = client};
  check_delivery(f, &c, other, KEY(2));
  expect_silence(p);
}

/* ---- R41, R43: references, closed ports ---- */

static void count_drop(const port_packet *packet, void *count) {
  (void)packet;
  ++*(unsigned *)count;
}

static void r41_what_ends_after_the_port_was_closed_goes_nowhere(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *ops = fixture_ops(f, 2);
  char    *data = fixture_memory(f, 2);
  unsigned drops = 0;
  assert_int_equal(port_recv(c.here, &ops[0], BUF(data, 1), 1), 0);
  assert_int_equal(port_recv(c.here, &ops[1], BUF(data + 1, 1), 1), 0);
  assert_int_equal(fixture_close_port(f, p, count_drop, &drops), drops);
  assert_true(peer_send(c.there, "x", 1));
  fixture_pause(fixture_quiet());
  fixture_close(f, c.here);
  assert_true(fixture_settles(p, PENDING, 0));
  assert_int_equal(fixture_stat_of(p, QUEUED), 0);
}

static void r41_a_handle_keeps_its_port(void **state) {
  fixture     *f = *state;
  port_options options = {.backend = port_name(fixture_port(f, 1)), .concurrency = 1};
  port        *p = NULL;
  assert_int_equal(port_open(&options, &p), 0);
  pair c = loopback_pair(f, p, KEY(1));
  port_close(p, NULL, NULL);
  port_unref(p); /* the last reference is the handle's now */
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 1), PORTICO_ECLOSED);
  fixture_close(f, c.here);
}

static void r41_a_reference_keeps_a_port_as_well(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 3);
  port_ref(p);
  fixture_close_port(f, p, NULL, NULL);
  assert_int_equal(port_concurrency(p), 3);
  assert_int_equal(port_post(p, KEY(1), NULL, 0), PORTICO_ECLOSED);
  port_unref(p);
}

static void r43_a_closed_port_answers_eclosed(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  pair         c = loopback_pair(f, p, KEY(1));
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(2), &at), *fresh = loopback_stream(f, p, KEY(3));
  port_handle *late = fixture_handle(f, loopback_socket(f, OS_TCP), PORT_STREAM, NULL, NULL);
  port_handle *d = loopback_datagram(f, p, KEY(4), &at);
  port_op     *op = fixture_op(f);
  char        *byte = fixture_memory(f, 1);
  port_packet  packet;
  fixture_close_port(f, p, NULL, NULL);
  assert_int_equal(port_get(p, &packet, 1, 0), PORTICO_ECLOSED);
  assert_int_equal(port_post(p, KEY(1), NULL, 0), PORTICO_ECLOSED);
  assert_int_equal(port_timer(p, op, KEY(1), 0), PORTICO_ECLOSED);
  assert_int_equal(port_attach(p, late, KEY(1)), PORTICO_ECLOSED);
  assert_int_equal(port_accept(listener, op), PORTICO_ECLOSED);
  assert_int_equal(port_connect(fresh, op, &at), PORTICO_ECLOSED);
  assert_int_equal(port_recv(c.here, op, BUF(byte, 1), 1), PORTICO_ECLOSED);
  assert_int_equal(port_recv_ready(c.here, op), PORTICO_ECLOSED);
  assert_int_equal(port_send(c.here, op, BUF(byte, 1), 1), PORTICO_ECLOSED);
  assert_int_equal(port_try_send(c.here, BUF(byte, 1), 1), PORTICO_ECLOSED);
  assert_int_equal(port_send_soon(c.here, BUF(byte, 1), 1), PORTICO_ECLOSED);
  assert_int_equal(port_shutdown_send(c.here), PORTICO_ECLOSED);
  assert_int_equal(port_recv_from(d, op, BUF(byte, 1), 1, NULL), PORTICO_ECLOSED);
  assert_int_equal(port_send_to(d, op, BUF(byte, 1), 1, &at), PORTICO_ECLOSED);
  assert_int_equal(fixture_stat_of(p, PENDING), 0);
  assert_int_equal(fixture_stat_of(p, QUEUED), 0);
}

static void r43_a_refused_attach_leaves_the_handle_free(void **state) {
  fixture     *f = *state;
  port        *closed = fixture_port(f, 1), *p = fixture_port(f, 1);
  port_handle *h = fixture_handle(f, loopback_socket(f, OS_TCP), PORT_STREAM, NULL, NULL);
  fixture_close_port(f, closed, NULL, NULL);
  assert_int_equal(port_attach(closed, h, KEY(1)), PORTICO_ECLOSED);
  assert_int_equal(port_attach(p, h, KEY(2)), 0);
}

/* Opens and closes sockets: whatever number the closed port had in the kernel comes into use again. */
static void reuse_numbers(worker *w, void *stop) {
  os_addr family;
  (void)w;
  os_addr_parse("127.0.0.1", 0, &family);
  while (!atomic_load((atomic_bool *)stop)) {
    os_socket s;
    if (os_socket_open(OS_UDP, &family, &s) == 0) os_socket_close(s);
  }
}

static void r43_a_closed_port_is_not_mistaken_for_what_got_its_number(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  worker      *w = worker_start(f);
  atomic_bool *stop = fixture_memory(f, sizeof *stop);
  unsigned     wrong = 0;
  fixture_close_port(f, p, NULL, NULL);
  worker_run(w, reuse_numbers, stop);
  for (unsigned i = 0; i < 1000; i++) {
    port_packet packet;
    wrong += port_get(p, &packet, 1, 0) != PORTICO_ECLOSED;
    wrong += port_post(p, KEY(i), NULL, 0) != PORTICO_ECLOSED;
  }
  atomic_store(stop, true);
  assert_true(worker_returned(w));
  assert_int_equal(wrong, 0);
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(r34_a_port_needs_a_backend_that_exists),
      CASE(r34_the_first_backend_is_the_default),
      CASE(r34_attaching_needs_a_port_and_a_handle),
      CASE(r34_an_unattached_handle_starts_nothing),
      CASE(r34_an_op_needs_all_its_arguments),
      CASE(r34_a_handle_of_another_kind_starts_nothing),
      CASE(r45_a_handle_that_no_port_has_may_be_aborted),
      CASE(r35_a_handle_is_attached_once_for_life),
      CASE(r36_each_packet_carries_the_key_of_its_handle),
      CASE(r36_the_key_may_change_while_nothing_is_under_way),
      CASE(r40_an_accept_carries_the_listeners_key_and_its_socket_is_free),
      CASE(r41_what_ends_after_the_port_was_closed_goes_nowhere),
      CASE(r41_a_handle_keeps_its_port),
      CASE(r41_a_reference_keeps_a_port_as_well),
      CASE(r43_a_closed_port_answers_eclosed),
      CASE(r43_a_refused_attach_leaves_the_handle_free),
      CASE(r43_a_closed_port_is_not_mistaken_for_what_got_its_number),
  };
  return cmocka_run_group_tests_name("handles", cases, NULL, NULL);
}
