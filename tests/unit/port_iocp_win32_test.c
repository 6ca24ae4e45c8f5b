/* port_iocp_win32_test.c - what only the Windows backend has to take care of; the rest is in tests/port/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "os/clock.h"
#include "os/thread.h"
#include "port/port.h"

static const int64_t patience_ns = 30LL * OS_NS_PER_S; /* far beyond what any step needs */

/* A port, a listener on it, and a connection over that: `here` is a handle on the port, `there` a plain socket. */
typedef struct fixture {
  port        *p;
  port_handle *listener, *here;
  os_socket    there;
  os_addr      at;
  port_op      ops[4];
  char         data[4];
} fixture;

static os_socket fixture_connect(fixture *f) {
  os_socket s;
  assert_int_equal(os_socket_open(OS_TCP, &f->at, &s), 0);
  os_socket_connect(s, &f->at);
  return s;
}

static int fixture_open(void **state) {
  fixture     *f = calloc(1, sizeof *f);
  os_socket    s;
  port_packet  packet;
  port_options options = {.backend = "iocp"};
  if (f == NULL || os_sockets_init() < 0) return -1;
  *state = f;
  assert_int_equal(port_open(&options, &f->p), 0);
  assert_int_equal(os_addr_parse("127.0.0.1", 0, &f->at), 0);
  assert_int_equal(os_socket_open(OS_TCP, &f->at, &s), 0);
  assert_int_equal(os_socket_bind(s, &f->at), 0);
  assert_int_equal(os_socket_listen(s, 5), 0);
  assert_int_equal(os_socket_local(s, &f->at), 0);
  assert_int_equal(port_handle_open(s, PORT_LISTENER, &f->listener), 0);
  assert_int_equal(port_attach(f->p, f->listener, &f->listener), 0);
  assert_int_equal(port_accept(f->listener, &f->ops[0]), 0);
  f->there = fixture_connect(f);
  assert_int_equal(port_get(f->p, &packet, 1, patience_ns), 1);
  assert_int_equal(packet.err, 0);
  assert_int_equal(port_handle_open(port_accepted(&f->ops[0], NULL), PORT_STREAM, &f->here), 0);
  assert_int_equal(port_attach(f->p, f->here, &f->here), 0);
  return 0;
}

static int fixture_close(void **state) {
  fixture *f = *state;
  if (f->here != NULL) port_handle_close(f->here);
  if (f->listener != NULL) port_handle_close(f->listener);
  os_socket_close(f->there);
  port_close(f->p, NULL, NULL);
  port_unref(f->p);
  free(f);
  os_sockets_fini();
  return 0;
}

static void fixture_receive(fixture *f, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    assert_int_equal(port_recv(f->here, &f->ops[i], &(port_buf){&f->data[i], 1}, 1), 0);
  }
}

static void fixture_settle(fixture *f, size_t queued) {
  int64_t    deadline = os_clock_now() + patience_ns;
  port_stats stats;
  do {
    assert_true(os_clock_now() < deadline);
    os_thread_yield();
    port_get_stats(f->p, &stats);
  } while (stats.queued != queued);
}

static void note_cancelled(const port_packet *packet, void *count) {
  if (packet->err == PORTICO_ECANCELED) ++*(unsigned *)count;
}

static void closing_the_port_waits_for_the_packets_of_closed_handles(void **state) {
  fixture *f = *state;
  unsigned cancelled = 0;
  fixture_receive(f, 3);
  port_handle_close(f->here);
  f->here = NULL;
  assert_int_equal(port_close(f->p, note_cancelled, &cancelled), 3);
  assert_int_equal(cancelled, 3);
}

static void an_op_left_pending_by_the_port_ends_with_its_handle(void **state) {
  fixture   *f = *state;
  port_stats stats;
  fixture_receive(f, 3);
  assert_int_equal(port_close(f->p, NULL, NULL), 0);
  assert_int_equal(port_recv(f->here, &f->ops[3], &(port_buf){&f->data[3], 1}, 1), PORTICO_ECLOSED);
  port_get_stats(f->p, &stats);
  assert_int_equal(stats.pending, 3);
  port_handle_close(f->here);
  f->here = NULL;
  port_get_stats(f->p, &stats);
  assert_int_equal(stats.pending, 0); /* so from here on memory is ours again: the kernel may not write there */
  memset(f->ops, 0x55, sizeof f->ops);
}

static void cancelling_all_counts_only_what_is_pending(void **state) {
  fixture    *f = *state;
  port_packet packets[3];
  int         taken = 0;
  fixture_receive(f, 3);
  assert_int_equal(os_socket_send(f->there, "x", 1), 1);
  fixture_settle(f, 1);
  assert_int_equal(port_cancel_all(f->here), 2);
  assert_int_equal(port_cancel_all(f->here), 0);
  while (taken < 3) {
    int got = port_get(f->p, &packets[taken], (unsigned)(3 - taken), patience_ns);
    assert_true(got > 0);
    taken += got;
  }
  assert_true(packets[0].op == &f->ops[0] && packets[0].err == 0);
  assert_true(packets[1].op == &f->ops[1] && packets[1].err == PORTICO_ECANCELED);
  assert_true(packets[2].op == &f->ops[2] && packets[2].err == PORTICO_ECANCELED);
}

static void an_accepted_socket_that_nobody_hears_of_is_closed(void **state) {
  fixture *f = *state;
  char     byte;
  assert_int_equal(port_accept(f->listener, &f->ops[0]), 0);
  os_socket client = fixture_connect(f);
  fixture_settle(f, 1);
  assert_int_equal(port_close(f->p, NULL, NULL), 1);
  assert_true(os_socket_wait(client, OS_READABLE, patience_ns) > 0);
  int64_t got = os_socket_recv(client, &byte, 1);
  os_socket_close(client);
  assert_true(got == 0 || got == PORTICO_ECONNRESET);
}

static void a_posted_key_is_never_taken_for_one_of_ours(void **state) {
  fixture    *f = *state;
  port_packet packet;
  for (uintptr_t key = 0; key < 8; key++) {
    assert_int_equal(port_post(f->p, (void *)key, (port_op *)(uintptr_t)0xDEAD0001, 7), 0);
    assert_int_equal(port_get(f->p, &packet, 1, patience_ns), 1);
    assert_true(packet.key == (void *)key && packet.op == (port_op *)(uintptr_t)0xDEAD0001 && packet.bytes == 7);
  }
}

static void a_listener_that_does_not_listen_is_refused_by_the_call(void **state) {
  fixture     *f = *state;
  os_addr      any;
  os_socket    s;
  port_handle *h;
  port_stats   stats;
  assert_int_equal(os_addr_parse("127.0.0.1", 0, &any), 0);
  assert_int_equal(os_socket_open(OS_TCP, &any, &s), 0);
  assert_int_equal(os_socket_bind(s, &any), 0);
  assert_int_equal(port_handle_open(s, PORT_LISTENER, &h), 0);
  assert_int_equal(port_attach(f->p, h, NULL), 0);
  assert_int_equal(port_accept(h, &f->ops[0]), PORTICO_EINVAL);
  assert_int_equal(port_cancel(&f->ops[0]), PORTICO_ENOTFOUND);
  port_handle_close(h);
  port_get_stats(f->p, &stats);
  assert_int_equal(stats.pending, 0);
}

int main(void) {
#define ON_PORT(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)
  const struct CMUnitTest tests[] = {
      ON_PORT(closing_the_port_waits_for_the_packets_of_closed_handles),
      ON_PORT(an_op_left_pending_by_the_port_ends_with_its_handle),
      ON_PORT(cancelling_all_counts_only_what_is_pending),
      ON_PORT(an_accepted_socket_that_nobody_hears_of_is_closed),
      ON_PORT(a_posted_key_is_never_taken_for_one_of_ours),
      ON_PORT(a_listener_that_does_not_listen_is_refused_by_the_call),
  };
  return cmocka_run_group_tests_name("port_iocp", tests, NULL, NULL);
}
