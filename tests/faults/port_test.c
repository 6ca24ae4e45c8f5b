/* port_test.c - the port when a call fails under it: the start says so and leaves nothing behind, or the packet does,
 * or it was nobody's business and all goes on. With the fixture of the contract suite, once for each backend. */
#include <errno.h>
#include <stdlib.h>

#include "base/sized.h"
#include "faults/fault.h"
#include "os/file.h"
#include "os/poller.h"
#include "os/sim.h"
#include "os/thread.h"
#include "port/loopback.h"
#include "port/worker.h"

enum { N_MAX = 1000 };

/* The value of `expression`, in which the n-th call of a kind is made to fail, and has to be reached. */
#define FAILING_NTH(call, err, n, expression) \
  (fault_plan(FAULT_##call, (err), (n), false), failing_end((expression), __FILE__, __LINE__))
#define FAILING(call, err, expression) FAILING_NTH(call, err, 1, expression)

static int64_t failing_end(int64_t result, const char *file, int line) {
  _assert_true(fault_end() == 1, "a call was made to fail", file, line);
  return result;
}

static bool on_uring(port *p) {
  return strcmp(port_name(p), "uring") == 0;
}

static void need_uring(port *p) {
  if (on_uring(p)) return;
  print_message("skipped: of io_uring only\n");
  skip();
}

static void need_readiness(port *p) {
  if (!on_uring(p)) return;
  print_message("skipped: io_uring makes no such call\n");
  skip();
}

/* ---- a port ---- */

/* Opens a port, in which the n-th call fails. result: as port_open; *out_failed = how many have failed */
static int open_failing(fixture *f, fault_call call, int err, unsigned long n, unsigned long *out_failed) {
  char         why[PORT_WHY_BYTES] = "";
  port_options options = {
      .backend = port_name(fixture_end_arg(f)), .concurrency = 1, .monitor = true, .out_why = n % 2 == 0 ? NULL : why};
  port        *p = NULL;
  long         before = fault_outstanding();
  fault_plan(call, err, n, false);
  int result = port_open(&options, &p);
  *out_failed = fault_end();
  if (result == 0) {
    assert_int_equal(*out_failed, 0); /* there were not so many calls */
    port_close(p, NULL, NULL);
    port_unref(p);
  }
  assert_int_equal(fault_outstanding(), before);
  return result;
}

static void nothing(fixture *f, void *arg) {
  (void)f, (void)arg;
}

static void a_port_whose_opening_fails_leaves_nothing_behind(void **state) {
  static const fault_call calls[] = {FAULT_ALLOCATE, FAULT_EPOLL_CREATE, FAULT_EVENTFD,      FAULT_EPOLL_CTL,
                                     FAULT_THREAD,   FAULT_RING_SETUP,   FAULT_RING_BUFFERS, FAULT_SOCKETPAIR};
  fixture *f = *state;
  fixture_at_end(f, nothing, fixture_port(f, 1));
  for (unsigned c = 0; c < COUNT_OF(calls); c++) {
    for (unsigned i = 0; fault_error(calls[c], i) != 0; i++) {
      unsigned long failed = 1, n;
      for (n = 1; n < N_MAX && failed > 0; n++) {
        int result = open_failing(f, calls[c], fault_error(calls[c], i), n, &failed);
        assert_true(failed == 0 ? result == 0 : result < 0);
      }
      assert_true(n < N_MAX);
    }
  }
}

static void an_io_uring_that_does_not_prove_itself_is_not_used(void **state) {
  static const fault_call calls[] = {FAULT_SEND, FAULT_SHUTDOWN, FAULT_RING_RESULT};
  fixture                *f = *state;
  port                   *p = fixture_port(f, 1);
  unsigned long           failed;
  need_uring(p);
  fixture_at_end(f, nothing, p);
  for (unsigned c = 0; c < COUNT_OF(calls); c++) {
    assert_true(open_failing(f, calls[c], ENOBUFS, 1, &failed) < 0);
    assert_int_equal(failed, 1);
  }
  assert_int_equal(open_failing(f, FAULT_RING_SETUP, EPERM, 1, &failed), PORTICO_EACCES);
  assert_int_equal(open_failing(f, FAULT_RING_SETUP, ENOSYS, 1, &failed), PORTICO_ENOTSUP);
  assert_int_equal(open_failing(f, FAULT_RING_BUFFERS, EINVAL, 1, &failed), PORTICO_ENOTSUP);
}

/* ---- the system below ---- */

static void a_call_that_a_signal_interrupts_is_made_again(void **state) {
  fixture  *f = *state;
  os_socket s = loopback_socket(f, OS_UDP);
  os_addr   at = {0};
  os_buf    buf = {&(char){'x'}, 1};
  os_file   file;
  os_poller poller;
  bool      cut;
  assert_int_equal(os_addr_parse("127.0.0.1", 9, &at), 0);
  assert_int_equal(FAILING(SEND, EINTR, os_socket_send_bufs(s, &buf, 1, &at)), 1);
  assert_int_equal(FAILING(RECEIVE, EINTR, os_socket_recv_bufs(s, &buf, 1, NULL, &cut)), PORTICO_EAGAIN);
  assert_int_equal(FAILING(OPEN, EINTR, os_file_open("/dev/null", OS_FILE_READ, &file)), 0);
  assert_int_equal(FAILING(READ, EINTR, os_file_read_at(file, buf.data, 1, 0)), 0);
  os_file_close(file);
  assert_int_equal(os_poller_open(&poller), 0);
  FAILING(WRITE, EINTR, (os_poller_wake(&poller), 0));
  os_poller_close(&poller);
}

static void no_body(void *arg) {
  (void)arg;
}

static void a_thread_that_cannot_be_started_is_none(void **state) {
  os_sim   *w;
  os_thread t;
  (void)state;
  long before = fault_outstanding();
  assert_int_equal(FAILING(THREAD, EPERM, os_thread_start(&t, no_body, NULL)), PORTICO_EACCES);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, os_sim_open(&(os_sim_options){.seed = 1}, &w)), PORTICO_ENOMEM);
  assert_int_equal(os_sim_open(&(os_sim_options){.seed = 1}, &w), 0);
  os_sim_enter(w);
  assert_int_equal(FAILING(THREAD, EAGAIN, os_thread_start(&t, no_body, NULL)), PORTICO_ELIMIT);
  os_sim_leave();
  os_sim_close(w);
  assert_int_equal(fault_outstanding(), before);
}

/* ---- packets and timers ---- */

static void join_without_memory(worker *w, void *arg) {
  port_packet packet;
  port       *p = arg;
  (void)w;
  fault_plan(FAULT_AT_EXIT, ENOMEM, 1, false);
  int result = port_get(p, &packet, 1, 0);
  if (fault_end() == 1 && result == PORTICO_ENOMEM && port_get(p, &packet, 1, 0) == PORTICO_ETIMEDOUT) {
    port_post(p, KEY(1), NULL, 0);
  }
}

static void a_thread_that_cannot_become_a_member_may_try_again(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  worker  *w = worker_start(f);
  worker_run(w, join_without_memory, p);
  assert_true(worker_returned(w));
  worker_exit(w);
  expect_packet(p, KEY(1), NULL, 0, 0);
}

static void a_post_without_memory_is_refused(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_post(p, KEY(1), NULL, 0)), PORTICO_ENOMEM);
  assert_int_equal(port_post(p, KEY(2), NULL, 0), 0);
  expect_packet(p, KEY(2), NULL, 0, 0);
}

static void a_timer_without_memory_is_refused(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  port_op *op = fixture_op(f);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_timer(p, op, KEY(1), 0)), PORTICO_ENOMEM);
  expect_silence(p);
  assert_int_equal(port_timer(p, op, KEY(1), 0), 0);
  expect_packet(p, KEY(1), op, 0, 0);
}

/* ---- handles and ops ---- */

static void a_handle_without_memory_leaves_the_socket(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_socket    s = loopback_socket(f, OS_TCP);
  port_handle *h;
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_handle_open(s, PORT_STREAM, &h)), PORTICO_ENOMEM);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_adopt(p, s, PORT_STREAM, KEY(1), &h)), PORTICO_ENOMEM);
  fixture_handle(f, s, PORT_STREAM, p, KEY(1));
}

static void a_handle_that_the_kernel_cannot_watch_leaves_the_socket(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_socket    s = loopback_socket(f, OS_UDP);
  port_handle *h;
  need_readiness(p);
  assert_int_equal(FAILING(EPOLL_CTL, ENOSPC, port_adopt(p, s, PORT_DATAGRAM, KEY(1), &h)), PORTICO_ENOSPC);
  fixture_handle(f, s, PORT_DATAGRAM, p, KEY(1));
}

/* Several buffers are copied, which takes memory. */
static void an_op_without_memory_for_its_buffers_is_refused(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  pair         c = loopback_pair(f, p, KEY(1));
  os_addr      at;
  port_handle *d = loopback_datagram(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  char        *two = fixture_memory(f, 2);
  port_buf     bufs[] = {{two, 1}, {two + 1, 1}};
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_recv(c.here, op, bufs, 2)), PORTICO_ENOBUFS);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_send(c.here, op, bufs, 2)), PORTICO_ENOBUFS);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_recv_from(d, op, bufs, 2, NULL)), PORTICO_ENOBUFS);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_send_to(d, op, bufs, 2, &at)), PORTICO_ENOBUFS);
  expect_silence(p);
}

static void a_connect_that_cannot_begin_says_so(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *h = loopback_stream(f, p, KEY(1));
  port_op     *op = fixture_op(f);
  loopback_listen(f, &at);
  assert_int_equal(FAILING(CONNECT, EADDRNOTAVAIL, port_connect(h, op, &at)), PORTICO_EADDRNOTAVAIL);
  expect_silence(p);
  assert_int_equal(port_connect(h, op, &at), 0);
  expect_packet(p, KEY(1), op, 0, 0);
}

static void a_connect_that_the_kernel_cannot_watch_says_so(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *h = loopback_stream(f, p, KEY(1));
  need_readiness(p);
  loopback_listen(f, &at);
  assert_int_equal(FAILING(EPOLL_CTL, ENOMEM, port_connect(h, fixture_op(f), &at)), PORTICO_ENOMEM);
  expect_silence(p);
}

/* Two clients in the kernel's queue; the first has gone, says the kernel. */
static void an_accept_passes_over_a_client_that_has_gone(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  need_readiness(p);
  loopback_client(f, &at);
  assert_int_equal(FAILING(ACCEPT, ECONNABORTED, port_accept(listener, op)), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  fixture_own(f, port_accepted(op, NULL));
}

static void an_accept_without_descriptors_says_so_and_the_next_one_accepts(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  need_readiness(p);
  loopback_client(f, &at);
  assert_int_equal(FAILING(ACCEPT, EMFILE, port_accept(listener, op)), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_EMFILE);
  assert_int_equal(port_accept(listener, op), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  fixture_own(f, port_accepted(op, NULL));
}

/* ---- files ---- */

static port_handle *written_file(fixture *f, port *p) {
  const char *path = fixture_path(f, "file");
  os_file     file;
  assert_int_equal(os_file_open(path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_NEW, &file), 0);
  assert_int_equal(os_file_write_at(file, "word", 4, 0), 4);
  os_file_close(file);
  return fixture_file(f, path, OS_FILE_READ | OS_FILE_WRITE, p, KEY(1));
}

static void a_file_op_without_a_thread_to_make_it_is_refused(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = written_file(f, p);
  port_op     *op = fixture_op(f);
  char        *got = fixture_memory(f, 4);
  need_readiness(p);
  assert_int_equal(FAILING(THREAD, EAGAIN, port_read(h, op, got, 4, 0)), PORTICO_ENOBUFS);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_read(h, op, got, 4, 0)), PORTICO_ENOBUFS);
  expect_silence(p);
  assert_int_equal(port_read(h, op, got, 4, 0), 0);
  expect_packet(p, KEY(1), op, 4, 0);
}

/* While the one helper is busy: the op waits for it. */
static void a_file_op_without_a_further_thread_waits(void **state) {
  enum { BYTES = 64 << 20 };
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = written_file(f, p);
  port_op     *ops = fixture_ops(f, 2);
  char        *much = fixture_memory(f, BYTES), *got = fixture_memory(f, 4);
  need_readiness(p);
  if (SIZED(false, true)) {
    print_message("skipped: there is one helper at most in this build\n");
    skip();
  }
  assert_int_equal(port_write(h, &ops[0], much, BYTES, 0), 0);
  assert_int_equal(FAILING(THREAD, EAGAIN, port_read(h, &ops[1], got, 4, 0)), 0);
  expect_packet(p, KEY(1), &ops[0], BYTES, 0);
  expect_packet(p, KEY(1), &ops[1], 4, 0);
}

/* ---- what the kernel says of requests ---- */

static void a_file_op_that_was_interrupted_is_asked_for_again(void **state) {
  static const int errors[] = {EINTR, EAGAIN, ECANCELED};
  fixture         *f = *state;
  port            *p = fixture_port(f, 1);
  port_handle     *h = written_file(f, p);
  port_op         *op = fixture_op(f);
  char            *got = fixture_memory(f, 4);
  need_uring(p);
  for (unsigned i = 0; i < COUNT_OF(errors); i++) {
    fault_plan(FAULT_RING_RESULT, errors[i], 1, false);
    assert_int_equal(port_read(h, op, got, 4, 0), 0);
    expect_packet(p, KEY(1), op, 4, 0);
    assert_int_equal(fault_end(), 1);
    assert_memory_equal(got, "word", 4);
  }
}

static void a_file_that_has_nothing_to_sync_is_synced(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  port_handle *h = written_file(f, p);
  port_op     *op = fixture_op(f);
  char        *got = fixture_memory(f, 4);
  need_uring(p);
  fault_plan(FAULT_RING_RESULT, EINVAL, 1, true);
  assert_int_equal(port_sync(h, op), 0);
  expect_packet(p, KEY(1), op, 0, 0);
  assert_int_equal(port_read(h, op, got, 4, 0), 0); /* of anything else it is an error */
  expect_packet(p, KEY(1), op, 0, PORTICO_EINVAL);
  assert_int_equal(fault_end(), 2);
}

static void a_receive_that_was_interrupted_goes_on(void **state) {
  static const int errors[] = {EINTR, EAGAIN, ECANCELED, ENOBUFS, EFAULT};
  fixture         *f = *state;
  port            *p = fixture_port(f, 1);
  need_uring(p);
  for (unsigned i = 0; i < COUNT_OF(errors); i++) {
    pair     c = loopback_pair(f, p, KEY(1));
    port_op *op = pair_start_receives(f, c.here, 1);
    fault_plan(FAULT_RING_RESULT, errors[i], 1, false);
    assert_int_equal(os_socket_shutdown_send(c.there), 0);
    expect_packet(p, KEY(1), op, 0, 0); /* the end, at the second try */
    assert_int_equal(fault_end(), 1);
  }
}

static void a_receive_that_failed_says_so(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  need_uring(p);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = pair_start_receives(f, c.here, 1);
  fault_plan(FAULT_RING_RESULT, ETIMEDOUT, 1, false);
  assert_int_equal(os_socket_shutdown_send(c.there), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_ETIMEDOUT);
  assert_int_equal(fault_end(), 1);
}

/* An accept is cancelled and started anew before its request has ended, and not for the reason that it was asked to. */
static void check_accept_ends_with(fixture *f, port *p, int kernel_err, int err) {
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *ops = fixture_ops(f, 2);
  assert_int_equal(port_accept(listener, &ops[0]), 0);
  fault_plan(FAULT_RING_RESULT, kernel_err, 1, true); /* nobody reads the result of the request that cancels */
  assert_int_equal(port_cancel(&ops[0]), 0);
  assert_int_equal(port_accept(listener, &ops[1]), 0);
  expect_packet(p, KEY(1), &ops[0], 0, PORTICO_ECANCELED);
  if (err == 0) loopback_client(f, &at);
  port_packet packet = take_packet(p);
  assert_true(fault_end() >= 1);
  assert_ptr_equal(packet.op, &ops[1]);
  assert_int_equal(packet.err, err);
  if (err == 0) fixture_own(f, port_accepted(&ops[1], NULL));
  fixture_close(f, listener);
}

static void an_accept_whose_request_ended_goes_on_or_says_why(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  need_uring(p);
  check_accept_ends_with(f, p, EMFILE, PORTICO_EMFILE);
  check_accept_ends_with(f, p, ECONNABORTED, 0);
  check_accept_ends_with(f, p, EPROTO, 0);
}

/* Bytes that a sender was told were taken, and then were not: the next one hears of it. */
static void what_was_to_be_sent_soon_and_failed_is_told_to_the_next_send(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  port_op *op = fixture_op(f);
  char    *byte = fixture_memory(f, 1);
  need_uring(p);
  pair_fill(&c); /* so that the kernel has something to say of the request */
  fault_plan(FAULT_RING_RESULT, ETIMEDOUT, 1, false);
  assert_int_equal(port_send_soon(c.here, BUF(byte, 1), 1), 1);
  assert_int_equal(port_send_soon(c.here, BUF(byte, 1), 1), PORTICO_EAGAIN);
  expect_silence(p);
  assert_int_equal(fault_end(), 1);
  assert_int_equal(port_try_send(c.here, BUF(byte, 1), 1), PORTICO_ETIMEDOUT);
  assert_int_equal(port_send(c.here, op, BUF(byte, 1), 1), 0);
  expect_packet(p, KEY(1), op, 0, PORTICO_ETIMEDOUT);
}

/* The end of our side waits for what was to be sent soon; an error then is no news to anybody. */
static void what_was_to_be_sent_soon_may_fail_behind_a_half_close(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  need_uring(p);
  pair_fill(&c);
  fault_plan(FAULT_RING_RESULT, EPIPE, 1, false);
  assert_int_equal(port_send_soon(c.here, BUF((void *)"soon", 4), 1), 4);
  assert_int_equal(port_shutdown_send(c.here), 0);
  expect_silence(p);
  assert_int_equal(fault_end(), 1);
}

/* As when the thread that had submitted it has exited. */
static void what_was_to_be_sent_soon_is_given_up_with_a_closed_handle(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  need_uring(p);
  pair_fill(&c);
  assert_int_equal(port_send_soon(c.here, BUF((void *)"soon", 4), 1), 4);
  fault_plan(FAULT_RING_RESULT, ECANCELED, 1, true);
  fixture_close(f, c.here);
  expect_silence(p);
  assert_true(fault_end() > 0);
}

/* Who does not take has buffers copied to the heap, so that the others have some. */
static void bytes_that_there_is_no_memory_for_end_the_stream(void **state) {
  enum { SILENT = 120, PIECES = 4 }; /* of 512 buffers */
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair    *pairs = fixture_memory(f, SILENT * sizeof *pairs);
  port_op *ops = fixture_ops(f, SILENT), *op = fixture_op(f);
  char     byte;
  need_uring(p);
  for (unsigned i = 0; i < SILENT; i++) {
    pairs[i] = loopback_pair(f, p, KEY(2));
    assert_int_equal(port_recv_ready(pairs[i].here, &ops[i]), 0);
  }
  for (unsigned piece = 0; piece < PIECES; piece++) {
    port_packet packet;
    for (unsigned i = 0; i < SILENT; i++) assert_true(peer_send(pairs[i].there, "x", 1));
    for (unsigned i = 0; piece == 0 && i < SILENT; i++) take_packet(p);
    for (unsigned i = 0; i < 4; i++) port_get(p, &packet, 1, 0); /* each brings a part of it */
  }
  pair c = loopback_pair(f, p, KEY(1));
  assert_int_equal(port_recv(c.here, op, BUF(&byte, 1), 1), 0);
  assert_true(peer_send(c.there, "x", 1) && os_socket_shutdown_send(c.there) == 0);
  fault_plan(FAULT_ALLOCATE, ENOMEM, 1, false);
  expect_packet(p, KEY(1), op, 0, PORTICO_ENOMEM);
  assert_int_equal(fault_end(), 1);
  expect_silence(p);
}

static void a_client_that_there_is_no_memory_for_is_dropped(void **state) {
  fixture     *f = *state;
  port        *p = fixture_port(f, 1);
  os_addr      at;
  port_handle *listener = loopback_listener(f, p, KEY(1), &at);
  port_op     *op = fixture_op(f);
  port_packet  packet;
  need_uring(p);
  assert_int_equal(port_accept(listener, op), 0);
  os_socket first = loopback_client(f, &at);
  fault_plan(FAULT_ALLOCATE, ENOMEM, 1, false);
  assert_int_equal(port_get(p, &packet, 1, fixture_quiet()), PORTICO_ETIMEDOUT);
  assert_int_equal(fault_end(), 1);
  assert_true(peer_at_end(first));
  loopback_client(f, &at);
  expect_packet(p, KEY(1), op, 0, 0);
  fixture_own(f, port_accepted(op, NULL));
}

static void what_is_to_be_sent_soon_without_memory_is_sent_at_once(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  char     got[4];
  need_uring(p);
  assert_int_equal(FAILING(ALLOCATE, ENOMEM, port_send_soon(c.here, BUF((void *)"soon", 4), 1)), 4);
  assert_true(peer_recv(c.there, got, 4));
}

static void a_submit_that_was_interrupted_is_made_again(void **state) {
  fixture *f = *state;
  port    *p = fixture_port(f, 1);
  pair     c = loopback_pair(f, p, KEY(1));
  char     got[4];
  need_uring(p);
  assert_int_equal(port_send_soon(c.here, BUF((void *)"soon", 4), 1), 4);
  assert_int_equal(FAILING(RING_SUBMIT, EINTR, (port_flush(p), 0)), 0);
  assert_true(peer_recv(c.there, got, 4));
}

int main(void) {
  const struct CMUnitTest cases[] = {
      CASE(a_port_whose_opening_fails_leaves_nothing_behind),
      CASE(a_call_that_a_signal_interrupts_is_made_again),
      CASE(a_thread_that_cannot_be_started_is_none),
      CASE(an_io_uring_that_does_not_prove_itself_is_not_used),
      CASE(a_thread_that_cannot_become_a_member_may_try_again),
      CASE(a_post_without_memory_is_refused),
      CASE(a_timer_without_memory_is_refused),
      CASE(a_handle_without_memory_leaves_the_socket),
      CASE(a_handle_that_the_kernel_cannot_watch_leaves_the_socket),
      CASE(an_op_without_memory_for_its_buffers_is_refused),
      CASE(a_connect_that_cannot_begin_says_so),
      CASE(a_connect_that_the_kernel_cannot_watch_says_so),
      CASE(an_accept_passes_over_a_client_that_has_gone),
      CASE(an_accept_without_descriptors_says_so_and_the_next_one_accepts),
      CASE(a_file_op_without_a_thread_to_make_it_is_refused),
      CASE(a_file_op_without_a_further_thread_waits),
      CASE(a_file_op_that_was_interrupted_is_asked_for_again),
      CASE(a_file_that_has_nothing_to_sync_is_synced),
      CASE(a_receive_that_was_interrupted_goes_on),
      CASE(a_receive_that_failed_says_so),
      CASE(an_accept_whose_request_ended_goes_on_or_says_why),
      CASE(what_was_to_be_sent_soon_and_failed_is_told_to_the_next_send),
      CASE(what_was_to_be_sent_soon_may_fail_behind_a_half_close),
      CASE(what_was_to_be_sent_soon_is_given_up_with_a_closed_handle),
      CASE(bytes_that_there_is_no_memory_for_end_the_stream),
      CASE(a_client_that_there_is_no_memory_for_is_dropped),
      CASE(what_is_to_be_sent_soon_without_memory_is_sent_at_once),
      CASE(a_submit_that_was_interrupted_is_made_again),
  };
  return cmocka_run_group_tests_name("port faults", cases, NULL, NULL);
}
