/* listener_test.c - accepting over a real port. The test thread is the strand; the clients are plain sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/listener.h"
#include "os/clock.h"

static const int64_t patience_ns = 20LL * OS_NS_PER_S; /* far beyond what any step needs */

enum { CLIENTS = 3 * LISTENER_ACCEPTS };

typedef struct fixture {
  port     *port;
  listener *listener; /* on the heap, to be freed in on_close, so that a late touch shows */
  os_addr   at;
  os_socket clients[CLIENTS], sockets[CLIENTS]; /* ours, accepted */
  os_addr   peers[CLIENTS];
  unsigned  connected;
  int       accepts, closes, troubles, after_close;
  int       close_at; /* on_accept number so much closes the listener; 0 = none */
} fixture;

/* ---- handlers ---- */

static void on_accept(listener *l, os_socket socket, const os_addr *peer) {
  fixture *f = l->key;
  if (f->closes > 0) f->after_close++;
  f->sockets[f->accepts] = socket;
  f->peers[f->accepts++] = *peer;
  if (f->accepts == f->close_at) listener_close(l);
}

static void on_trouble(listener *l, int err) {
  fixture *f = l->key;
  (void)err;
  f->troubles++;
}

static void on_close(listener *l) {
  fixture *f = l->key;
  f->closes++;
  f->listener = NULL;
  free(l);
}

static const listener_handlers handlers = {.on_accept = on_accept, .on_trouble = on_trouble, .on_close = on_close};

/* ---- driving ---- */

static bool step(fixture *f, int64_t timeout_ns) {
  port_packet packet;
  if (port_get(f->port, &packet, 1, timeout_ns) != 1) return false;
  completion *c = completion_of(&packet);
  c->run(c);
  return true;
}

static void run_until(fixture *f, const int *count, int wanted) {
  while (*count < wanted) assert_true(step(f, patience_ns));
}

/* Connects a client. result: 0 or how it failed */
static int dial(fixture *f, const os_addr *at) {
  os_socket s = OS_SOCKET_NONE;
  assert_int_equal(os_socket_open(OS_TCP, at, &s), 0);
  f->clients[f->connected++] = s;
  int err = os_socket_connect(s, at);
  if (err != PORTICO_EAGAIN) return err;
  assert_true(os_socket_wait(s, OS_WRITABLE, patience_ns) > 0);
  return os_socket_take_error(s);
}

/* ---- making and dropping ---- */

static os_addr any_addr(void) {
  os_addr at;
  assert_int_equal(os_addr_parse("127.0.0.1", 0, &at), 0);
  return at;
}

static int make_listener(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL || os_sockets_init() < 0) return -1;
  for (int i = 0; i < CLIENTS; i++) f->clients[i] = f->sockets[i] = OS_SOCKET_NONE;
  f->listener = malloc(sizeof *f->listener);
  if (f->listener == NULL || port_open(&(port_options){.concurrency = 1}, &f->port) < 0) return -1;
  os_addr          at = any_addr();
  listener_options options = {0};
  if (listener_open(f->listener, f->port, f, &at, &options, &handlers) < 0) return -1;
  f->at = f->listener->at;
  *state = f;
  return 0;
}

/* Fails on lost or repeated callbacks, live operations and queued packets. */
static int drop_listener(void **state) {
  fixture   *f = *state;
  port_stats stats;
  if (f->listener != NULL) listener_close(f->listener);
  run_until(f, &f->closes, 1);
  while (step(f, 0)) {
  }
  port_get_stats(f->port, &stats);
  bool good = stats.pending == 0 && stats.queued == 0 && f->closes == 1 && f->after_close == 0;
  if (port_close(f->port, NULL, NULL) != 0) good = false;
  port_packet none;
  port_get(f->port, &none, 1, 0); /* this thread leaves it: it goes, and checks that all operations have ended */
  port_unref(f->port);
  for (int i = 0; i < CLIENTS; i++) {
    if (f->clients[i] != OS_SOCKET_NONE) os_socket_close(f->clients[i]);
    if (f->sockets[i] != OS_SOCKET_NONE) os_socket_close(f->sockets[i]);
  }
  os_sockets_fini();
  free(f);
  return good ? 0 : -1;
}

/* ---- tests ---- */

static void the_address_has_the_real_port_number(void **state) {
  fixture *f = *state;
  assert_int_not_equal(os_addr_port(&f->at), 0);
}

static void every_client_is_accepted_once_with_its_address(void **state) {
  fixture *f = *state;
  bool     met[CLIENTS] = {false};
  listener_start(f->listener);
  for (int i = 0; i < CLIENTS; i++) assert_int_equal(dial(f, &f->at), 0);
  run_until(f, &f->accepts, CLIENTS);
  for (int i = 0; i < CLIENTS; i++) {
    os_addr local;
    assert_int_equal(os_socket_local(f->clients[i], &local), 0);
    int k = 0;
    while (k < CLIENTS && (met[k] || os_addr_port(&f->peers[k]) != os_addr_port(&local))) k++;
    assert_in_range(k, 0, CLIENTS - 1);
    met[k] = true;
  }
  assert_int_equal(f->troubles, 0);
}

static void an_accepted_socket_carries_bytes(void **state) {
  fixture *f = *state;
  char     byte = 0;
  listener_start(f->listener);
  assert_int_equal(dial(f, &f->at), 0);
  run_until(f, &f->accepts, 1);
  assert_int_equal(os_socket_send(f->clients[0], "x", 1), 1);
  assert_true(os_socket_wait(f->sockets[0], OS_READABLE, patience_ns) > 0);
  assert_int_equal(os_socket_recv(f->sockets[0], &byte, 1), 1);
  assert_int_equal(byte, 'x');
}

static void clients_that_came_before_the_start_are_accepted_after_it(void **state) {
  fixture *f = *state;
  assert_int_equal(dial(f, &f->at), 0);
  assert_int_equal(dial(f, &f->at), 0);
  assert_false(step(f, 0));
  listener_start(f->listener);
  run_until(f, &f->accepts, 2);
}

static void a_close_with_accepts_in_flight_is_told_once(void **state) {
  fixture *f = *state;
  listener_start(f->listener);
  assert_int_equal(f->listener->inflight, LISTENER_ACCEPTS);
  listener_close(f->listener);
  assert_int_equal(f->closes, 0); /* they are still on their way back */
  listener_close(f->listener);
  run_until(f, &f->closes, 1);
  assert_int_equal(f->accepts, 0);
  assert_int_equal(f->troubles, 0);
}

static void a_close_without_a_start_is_told_inside_the_call(void **state) {
  fixture *f = *state;
  listener_close(f->listener);
  assert_int_equal(f->closes, 1);
}

static void a_close_inside_on_accept_is_told_once(void **state) {
  fixture *f = *state;
  f->close_at = 2;
  listener_start(f->listener);
  for (int i = 0; i < 3; i++) assert_int_equal(dial(f, &f->at), 0);
  run_until(f, &f->closes, 1);
  assert_int_equal(f->accepts, 2);
}

static void a_client_that_came_with_the_close_sees_an_end_not_silence(void **state) {
  fixture *f = *state;
  char     byte;
  listener_start(f->listener);
  assert_int_equal(dial(f, &f->at), 0);
  listener_close(f->listener);
  run_until(f, &f->closes, 1);
  assert_int_equal(f->accepts, 0);
  assert_true(os_socket_wait(f->clients[0], OS_READABLE, patience_ns) > 0);
  int64_t n = os_socket_recv(f->clients[0], &byte, 1);
  assert_true(n == 0 || n == PORTICO_ECONNRESET);
}

static void after_the_close_the_port_is_free(void **state) {
  fixture *f = *state;
  listener_start(f->listener);
  listener_close(f->listener);
  run_until(f, &f->closes, 1);
  assert_int_equal(dial(f, &f->at), PORTICO_ECONNREFUSED);
  os_socket s = OS_SOCKET_NONE;
  assert_int_equal(os_socket_open(OS_TCP, &f->at, &s), 0);
  int err = os_socket_bind(s, &f->at);
  os_socket_close(s);
  assert_int_equal(err, 0);
}

static void a_second_listener_on_the_same_address_is_refused(void **state) {
  fixture         *f = *state;
  listener         second;
  listener_options options = {0};
  assert_int_equal(listener_open(&second, f->port, f, &f->at, &options, &handlers), PORTICO_EADDRINUSE);
}

static void an_address_of_somebody_else_is_refused(void **state) {
  fixture         *f = *state;
  listener         second;
  listener_options options = {0};
  os_addr          at;
  assert_int_equal(os_addr_parse("192.0.2.1", 0, &at), 0); /* for documentation: nobody has it */
  assert_int_equal(listener_open(&second, f->port, f, &at, &options, &handlers), PORTICO_EADDRNOTAVAIL);
}

/* Makes one more listener on an address. result: 0 or how it failed, then nothing is left of it */
static int open_another(fixture *f, const os_addr *at, bool reuse_port, listener **out_l) {
  listener_options options = {.reuse_port = reuse_port};
  listener        *l = malloc(sizeof *l);
  assert_non_null(l);
  int err = listener_open(l, f->port, f, at, &options, &handlers);
  if (err < 0) free(l);
  else *out_l = l;
  return err;
}

/* Closes it and waits for the end; drop_listener is to see the close of the fixture's own only. */
static void close_another(fixture *f, listener *l) {
  listener *own = f->listener;
  listener_close(l);
  run_until(f, &f->closes, 1);
  f->closes = 0;
  f->listener = own;
}

static listener *open_reusing_or_skip(fixture *f) {
  os_addr   at = any_addr();
  listener *l = NULL;
  int       err = open_another(f, &at, true, &l);
  if (err == PORTICO_ENOTSUP) {
    print_message("skipped: reuse_port is not supported here\n");
    skip();
  }
  assert_int_equal(err, 0);
  return l;
}

static void listeners_that_reuse_a_port_share_its_clients(void **state) {
  fixture  *f = *state;
  listener *one = open_reusing_or_skip(f), *two;
  assert_int_equal(open_another(f, &one->at, true, &two), 0);
  assert_int_equal(os_addr_port(&two->at), os_addr_port(&one->at));
  listener_start(one);
  listener_start(two);
  for (int i = 0; i < CLIENTS / 2; i++) assert_int_equal(dial(f, &one->at), 0);
  run_until(f, &f->accepts, CLIENTS / 2);
  os_addr shared = two->at;
  close_another(f, one);
  for (int i = CLIENTS / 2; i < CLIENTS; i++) assert_int_equal(dial(f, &shared), 0);
  run_until(f, &f->accepts, CLIENTS); /* the one that is left takes all */
  close_another(f, two);
}

static void a_port_is_reused_only_if_all_agree(void **state) {
  fixture  *f = *state;
  listener *one = open_reusing_or_skip(f), *two;
  assert_int_equal(open_another(f, &one->at, false, &two), PORTICO_EADDRINUSE);
  assert_int_equal(open_another(f, &f->at, true, &two), PORTICO_EADDRINUSE);
  close_another(f, one);
}

int main(void) {
#define WITH_LISTENER(test) cmocka_unit_test_setup_teardown(test, make_listener, drop_listener)
  const struct CMUnitTest tests[] = {
      WITH_LISTENER(the_address_has_the_real_port_number),
      WITH_LISTENER(every_client_is_accepted_once_with_its_address),
      WITH_LISTENER(an_accepted_socket_carries_bytes),
      WITH_LISTENER(clients_that_came_before_the_start_are_accepted_after_it),
      WITH_LISTENER(a_close_with_accepts_in_flight_is_told_once),
      WITH_LISTENER(a_close_without_a_start_is_told_inside_the_call),
      WITH_LISTENER(a_close_inside_on_accept_is_told_once),
      WITH_LISTENER(a_client_that_came_with_the_close_sees_an_end_not_silence),
      WITH_LISTENER(after_the_close_the_port_is_free),
      WITH_LISTENER(a_second_listener_on_the_same_address_is_refused),
      WITH_LISTENER(an_address_of_somebody_else_is_refused),
      WITH_LISTENER(listeners_that_reuse_a_port_share_its_clients),
      WITH_LISTENER(a_port_is_reused_only_if_all_agree),
  };
  return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
