/* os_sim_misuse_test.c - the simulated kernel: what it answers to calls that come too late, too early, or twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/poller.h"
#include "os/thread.h"
#include "unit/sim_sockets.h"

static void world_leave(os_sim *w) {
  os_sim_leave();
  os_sim_close(w);
}

static uint64_t stale_calls(os_sim *w) {
  os_sim_stats stats;
  os_sim_get_stats(w, &stats);
  return stats.stale_calls;
}

static os_socket make_listener(uint16_t number) {
  os_addr   at = addr_of(number);
  os_socket s = make(OS_TCP);
  assert_int_equal(os_socket_bind(s, &at), 0);
  assert_int_equal(os_socket_listen(s, 0), 0);
  return s;
}

/* Two ends of a connection, in a world without delays. */
static void make_pair(os_socket out[2]) {
  os_addr   at = addr_of(80);
  os_socket listener = make_listener(80);
  out[0] = make(OS_TCP);
  assert_int_equal(os_socket_connect(out[0], &at), 0);
  assert_int_equal(os_socket_accept(listener, &out[1], NULL), 0);
  os_socket_close(listener);
}

/* ---- too late ---- */

/* Each call that tells what it did says EINVAL of s, and the world has counted it. */
static void nobody_answers(os_sim *w, os_socket s) {
  os_addr  at = addr_of(80);
  char     byte = 0;
  bool     cut;
  os_buf   buf = {&byte, 1};
  os_socket out;
  uint64_t before = stale_calls(w);
  int64_t  answers[] = {
      os_socket_bind(s, &at),       os_socket_listen(s, 1),     os_socket_local(s, &at),
      os_socket_peer(s, &at),       os_socket_take_error(s),    os_socket_share_address(s),
      os_socket_set_nodelay(s, 1),  os_socket_connect(s, &at),  os_socket_set_buffers(s, 1, 1),
      os_socket_shutdown_send(s),   os_socket_recv(s, &byte, 1), os_socket_set_reset_on_close(s),
      os_socket_send(s, &byte, 1),  os_socket_accept(s, &out, NULL), os_socket_wait(s, OS_READABLE, 0),
      os_socket_recv_bufs(s, &buf, 1, NULL, &cut), os_socket_send_bufs(s, &buf, 1, NULL),
  };
  enum { ANSWERS = sizeof answers / sizeof answers[0], SILENT = 3 };
  for (unsigned i = 0; i < ANSWERS; i++) assert_int_equal(answers[i], PORTICO_EINVAL);
  assert_false(os_socket_was_connected(s));
  os_socket_stop_listening(s);
  os_socket_close(s);
  assert_int_equal(stale_calls(w) - before, ANSWERS + SILENT);
}

static void a_closed_socket_is_nobody_even_if_its_place_is_taken(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_socket old = make(OS_TCP);
  os_socket_close(old);
  nobody_answers(w, old);
  os_socket heir = make(OS_TCP);
  nobody_answers(w, old);
  nobody_answers(w, heir + 1); /* never was one */
  os_socket_close(heir);
  world_leave(w);
}

static void a_poller_knows_only_what_is_its_own(void **state) {
  (void)state;
  os_sim       *w = world_enter(&(os_sim_options){.seed = 1});
  os_poller     p, other;
  os_poll_event events[4];
  os_socket     s = make(OS_UDP), stranger = make(OS_UDP), gone = make(OS_UDP);
  os_socket_close(gone);
  assert_int_equal(os_poller_open(&p), 0);
  assert_int_equal(os_poller_open(&other), 0);
  assert_int_equal(os_poller_add(&p, s, &s), 0);
  assert_int_equal(os_poller_add(&other, stranger, &stranger), 0);
  assert_int_equal(os_poller_add(&p, s, &s), PORTICO_EINVAL);
  assert_int_equal(os_poller_add(&p, gone, &gone), PORTICO_EINVAL);
  assert_int_equal(os_poller_again(&p, gone, &gone), PORTICO_EINVAL);
  assert_int_equal(os_poller_again(&p, stranger, &stranger), PORTICO_EINVAL);
  os_poller_remove(&p, gone);
  os_poller_remove(&p, stranger);
  assert_int_equal(os_poller_wait(&other, events, 4, 0), 1);
  assert_ptr_equal(events[0].owner, &stranger);
  os_poller_close(&other);
  assert_int_equal(os_poller_wait(&p, events, 4, 0), 1);
  os_poller_close(&p);
  os_socket_close(s);
  os_socket_close(stranger);
  world_leave(w);
}

static void a_world_that_goes_takes_what_was_left_open(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1, .sockets_max = 9, .rates.delay = OS_SIM_ALWAYS});
  os_addr   at = addr_of(80);
  os_socket s = make(OS_UDP);
  assert_int_equal(os_socket_bind(s, &at), 0);
  assert_int_equal(os_socket_send_bufs(s, &(os_buf){&(char){'x'}, 1}, 1, &at), 1);
  make_listener(80);
  world_leave(w); /* the sanitizers look whether all of it has gone */
}

/* ---- too early, or twice ---- */

static void a_name_is_given_once(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   at = addr_of(80), peer;
  os_socket s = make(OS_TCP);
  assert_int_equal(os_socket_bind(s, &at), 0);
  assert_int_equal(os_socket_bind(s, &at), PORTICO_EINVAL);
  assert_int_equal(os_socket_peer(s, &peer), PORTICO_ENOTCONN);
  os_socket_close(s);
  world_leave(w);
}

/* Connections have the name of their listener, which they outlive; a socket that shares shares with its like only. */
static void a_name_is_free_when_nobody_listens_there(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   at = addr_of(80);
  os_socket pair[2], other = make(OS_TCP);
  make_pair(pair);
  os_socket heir = make(OS_TCP);
  assert_int_equal(os_socket_share_address(heir), 0);
  assert_int_equal(os_socket_bind(heir, &at), 0);
  assert_int_equal(os_socket_bind(other, &at), PORTICO_EADDRINUSE);
  os_socket_close(heir);
  os_socket_close(other);
  os_socket_close(pair[0]);
  os_socket_close(pair[1]);
  world_leave(w);
}

static void a_name_that_is_chosen_is_none_that_was_asked_for(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   any = addr_of(0), first, second;
  os_socket s[3] = {make(OS_UDP), make(OS_UDP), make(OS_UDP)};
  assert_int_equal(os_socket_bind(s[0], &any), 0);
  assert_int_equal(os_socket_local(s[0], &first), 0);
  second = addr_of((uint16_t)(os_addr_port(&first) + 1));
  assert_int_equal(os_socket_bind(s[1], &second), 0);
  assert_int_equal(os_socket_bind(s[2], &any), 0);
  for (int i = 0; i < 3; i++) os_socket_close(s[i]);
  world_leave(w);
}

static void a_stream_without_a_peer_moves_no_bytes(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1, .rates.delay = OS_SIM_ALWAYS});
  os_addr   at = addr_of(80);
  os_socket s = make(OS_TCP), out;
  char      byte = 0;
  assert_int_equal(os_socket_recv(s, &byte, 1), PORTICO_ENOTCONN);
  assert_int_equal(os_socket_send(s, &byte, 1), PORTICO_EPIPE);
  assert_int_equal(os_socket_shutdown_send(s), PORTICO_ENOTCONN);
  assert_int_equal(os_socket_accept(s, &out, NULL), PORTICO_EINVAL);
  assert_int_equal(os_socket_wait(s, OS_READABLE, 0), OS_READABLE | OS_WRITABLE); /* both would fail at once */
  os_socket_stop_listening(s); /* which it never did */
  assert_int_equal(os_socket_connect(s, &at), PORTICO_EAGAIN);
  assert_int_equal(os_socket_connect(s, &at), PORTICO_EAGAIN);
  assert_int_equal(os_socket_send(s, &byte, 1), PORTICO_EAGAIN);
  assert_int_equal(os_socket_wait(s, OS_READABLE, INT64_MAX), OS_READABLE | OS_WRITABLE);
  assert_int_equal(os_socket_send(s, &byte, 1), PORTICO_ECONNREFUSED);
  assert_int_equal(os_socket_connect(s, &at), PORTICO_EAGAIN);
  assert_int_equal(os_socket_wait(s, OS_READABLE, -1), OS_READABLE | OS_WRITABLE);
  assert_int_equal(os_socket_recv(s, &byte, 1), PORTICO_ECONNREFUSED);
  os_socket_close(s);
  world_leave(w);
}

/* A number comes back after so many sockets in its place, and then what was meant for the first is not for the last. */
static void a_number_that_comes_back_means_somebody_else(void **state) {
  (void)state;
  enum { NUMBERS = 1024 };
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1, .delay_ns_max = OS_NS_PER_S, .rates.delay = OS_SIM_ALWAYS});
  os_addr   at = addr_of(80);
  os_socket first = make(OS_TCP), s = first;
  os_event  pause;
  assert_int_equal(os_event_init(&pause), 0);
  assert_int_equal(os_socket_connect(first, &at), PORTICO_EAGAIN);
  for (unsigned i = 0; i < NUMBERS; i++) {
    os_socket_close(s);
    s = make(OS_TCP);
  }
  assert_int_equal(s, first);
  assert_false(os_event_wait(&pause, 2LL * OS_NS_PER_S));
  assert_int_equal(os_socket_take_error(s), 0);
  os_event_fini(&pause);
  os_socket_close(s);
  world_leave(w);
}

static void an_end_that_comes_behind_a_reset_is_not_heard(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_socket s[2];
  os_event  pause;
  char      byte = 0;
  assert_int_equal(os_event_init(&pause), 0);
  make_pair(s);
  os_sim_set_rates(w, &(os_sim_rates){.delay = OS_SIM_ALWAYS, .reset = OS_SIM_ALWAYS});
  assert_int_equal(os_socket_shutdown_send(s[0]), 0);
  assert_int_equal(os_socket_send(s[1], &byte, 1), PORTICO_ECONNRESET);
  assert_false(os_event_wait(&pause, OS_NS_PER_S));
  assert_int_equal(os_socket_send(s[1], &byte, 1), PORTICO_EPIPE);
  os_event_fini(&pause);
  os_socket_close(s[0]);
  os_socket_close(s[1]);
  world_leave(w);
}

static void who_shares_an_address_gets_some_of_its_clients(void **state) {
  (void)state;
  enum { CLIENTS = 50 };
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   at = addr_of(80);
  os_socket listeners[2], clients[CLIENTS];
  for (int i = 0; i < 2; i++) {
    listeners[i] = make(OS_TCP);
    assert_int_equal(os_socket_share_address(listeners[i]), 0);
    assert_int_equal(os_socket_bind(listeners[i], &at), 0);
    assert_int_equal(os_socket_listen(listeners[i], CLIENTS), 0);
  }
  for (int i = 0; i < CLIENTS; i++) assert_int_equal(os_socket_connect(clients[i] = make(OS_TCP), &at), 0);
  for (int i = 0; i < 2; i++) assert_int_equal(os_socket_wait(listeners[i], OS_READABLE, 0), OS_READABLE);
  for (int i = 0; i < CLIENTS; i++) os_socket_close(clients[i]);
  for (int i = 0; i < 2; i++) os_socket_close(listeners[i]);
  world_leave(w);
}

static void who_is_connected_or_listens_stays_so(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   at = addr_of(80), other = addr_of(81);
  os_socket pair[2], listener = make_listener(81);
  make_pair(pair);
  assert_int_equal(os_socket_connect(pair[0], &at), PORTICO_EISCONN);
  assert_int_equal(os_socket_connect(listener, &other), PORTICO_EISCONN);
  assert_int_equal(os_socket_listen(pair[0], 1), PORTICO_EINVAL);
  assert_int_equal(os_socket_listen(listener, 5), 0); /* which makes its queue longer */
  assert_int_equal(os_socket_shutdown_send(pair[0]), 0);
  assert_int_equal(os_socket_shutdown_send(pair[0]), 0);
  os_socket_close(pair[0]);
  os_socket_close(pair[1]);
  os_socket_close(listener);
  world_leave(w);
}

static void buffers_may_change_while_connected(void **state) {
  (void)state;
  enum { SMALL = 100 };
  os_sim     *w = world_enter(&(os_sim_options){.seed = 1});
  os_socket   s[2];
  static char bytes[2 * SMALL];
  make_pair(s);
  assert_int_equal(os_socket_set_buffers(s[0], SMALL, 0), 0);
  assert_int_equal(os_socket_set_buffers(s[0], 0, SMALL), 0); /* the other's to send are what counts */
  assert_int_equal(os_socket_send(s[0], bytes, sizeof bytes), SMALL);
  os_socket_close(s[0]);
  os_socket_close(s[1]);
  world_leave(w);
}

static void nothing_may_be_sent_and_received(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_socket s[2];
  char      got[2];
  bool      cut;
  os_buf    out[] = {{(char[]){'a'}, 1}, {NULL, 0}, {(char[]){'b'}, 1}}, in[] = {{got, 1}, {NULL, 0}, {got + 1, 1}};
  make_pair(s);
  assert_int_equal(os_socket_send(s[0], "", 0), 0);
  assert_int_equal(os_socket_send(s[0], "a", 1), 1);
  assert_int_equal(os_socket_recv_bufs(s[1], in, 3, NULL, &cut), 1);
  assert_int_equal(os_socket_send_bufs(s[0], out, 3, NULL), 2);
  assert_int_equal(os_socket_recv_bufs(s[1], in, 3, NULL, &cut), 2);
  assert_memory_equal(got, "ab", 2);
  os_socket_close(s[0]);
  os_socket_close(s[1]);
  world_leave(w);
}

/* ---- datagrams ---- */

static void a_datagram_socket_neither_listens_nor_ends(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_socket s = make(OS_UDP);
  char      byte = 0;
  assert_int_equal(os_socket_listen(s, 1), PORTICO_EINVAL);
  assert_int_equal(os_socket_shutdown_send(s), 0);
  assert_int_equal(os_socket_send(s, &byte, 1), PORTICO_EINVAL); /* to whom? */
  os_socket_close(s);
  world_leave(w);
}

static void a_refused_datagram_is_told_by_the_next_call(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   nobody = addr_of(80);
  os_socket s = make(OS_UDP);
  char      byte = 0;
  assert_int_equal(os_socket_connect(s, &nobody), 0);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(os_socket_send(s, &byte, 1), 1);
    assert_int_equal(os_socket_wait(s, OS_READABLE, 0), OS_READABLE | OS_WRITABLE);
    if (i == 0) assert_int_equal(os_socket_recv(s, &byte, 1), PORTICO_ECONNREFUSED);
    else assert_int_equal(os_socket_send(s, &byte, 1), PORTICO_ECONNREFUSED);
  }
  os_socket_close(s);
  world_leave(w);
}

/* What arrives at a socket that has been closed, is connected to somebody else, or is full. */
static void a_datagram_that_nobody_takes_is_lost(void **state) {
  (void)state;
  os_sim *w = world_enter(&(os_sim_options){.seed = 1, .buffer_bytes = 10, .rates.delay = OS_SIM_ALWAYS});
  os_addr at = addr_of(80), full_at = addr_of(81), other = addr_of(90);
  os_buf  text = {(char[8]){0}, 8}, empty = {NULL, 0};
  char    got[10];
  bool    cut;
  os_socket stream = make(OS_TCP), from = make(OS_UDP), gone = make(OS_UDP), full = make(OS_UDP);
  assert_int_equal(os_socket_bind(gone, &at), 0);
  assert_int_equal(os_socket_bind(full, &full_at), 0);
  assert_int_equal(os_socket_send_bufs(from, &text, 1, &at), 8);
  for (int i = 0; i < 2; i++) assert_int_equal(os_socket_send_bufs(from, &text, 1, &full_at), 8);
  os_socket_close(gone);
  assert_int_equal(os_socket_wait(full, OS_READABLE, OS_NS_PER_S), OS_READABLE);
  assert_int_equal(os_socket_wait(from, OS_READABLE, 10 * OS_NS_PER_MS), PORTICO_ETIMEDOUT);
  assert_int_equal(os_socket_recv_bufs(full, &(os_buf){got, sizeof got}, 1, NULL, &cut), 8);
  assert_int_equal(os_socket_recv_bufs(full, &(os_buf){got, sizeof got}, 1, NULL, &cut), PORTICO_EAGAIN);
  assert_int_equal(os_socket_connect(full, &other), 0);
  assert_int_equal(os_socket_send_bufs(from, &empty, 1, &full_at), 0);
  assert_int_equal(os_socket_wait(full, OS_READABLE, 10 * OS_NS_PER_MS), PORTICO_ETIMEDOUT);
  os_socket_close(stream);
  os_socket_close(from);
  os_socket_close(full);
  world_leave(w);
}

/* A datagram into several buffers, one of them empty; and one that is not read at all. */
static void a_datagram_fills_one_buffer_after_the_other(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_addr   at = addr_of(80);
  os_socket s = make(OS_UDP);
  char      got[3];
  bool      cut;
  os_buf    in[] = {{got, 1}, {NULL, 0}, {got + 1, 2}};
  assert_int_equal(os_socket_bind(s, &at), 0);
  assert_int_equal(os_socket_connect(s, &at), 0); /* to itself */
  for (int i = 0; i < 2; i++) assert_int_equal(os_socket_send(s, "abc", 3), 3);
  os_sim_set_rates(w, &(os_sim_rates){.again = OS_SIM_ALWAYS});
  assert_int_equal(os_socket_recv_bufs(s, in, 3, NULL, &cut), PORTICO_EAGAIN);
  os_sim_set_rates(w, &(os_sim_rates){0});
  assert_int_equal(os_socket_recv_bufs(s, in, 3, NULL, &cut), 3);
  assert_false(cut);
  assert_memory_equal(got, "abc", 3);
  os_socket_close(s);
  world_leave(w);
}

static void refusals_of_datagrams_come_as_often_as_asked_for(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1, .rates.buffers = OS_SIM_ALWAYS});
  os_addr   at = addr_of(80);
  os_socket s = OS_SOCKET_NONE;
  os_buf    text = {(char[]){'x'}, 1};
  assert_int_equal(os_socket_open(OS_UDP, &at, &s), PORTICO_ENOBUFS);
  os_sim_set_rates(w, &(os_sim_rates){0});
  s = make(OS_UDP);
  os_sim_set_rates(w, &(os_sim_rates){.buffers = OS_SIM_ALWAYS});
  assert_int_equal(os_socket_send_bufs(s, &text, 1, &at), PORTICO_ENOBUFS);
  os_sim_set_rates(w, &(os_sim_rates){.again = OS_SIM_ALWAYS});
  assert_int_equal(os_socket_send_bufs(s, &text, 1, &at), PORTICO_EAGAIN);
  os_socket_close(s);
  world_leave(w);
}

/* ---- threads ---- */

static void look_at_the_clock(void *arg) {
  os_event *end = arg;
  os_clock_now();
  os_event_set(end);
}

/* A wait of more time than there is, for what another thread does. */
static void a_wait_may_be_longer_than_time(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_event  end;
  os_thread threads[2];
  assert_int_equal(os_event_init(&end), 0);
  for (int i = 0; i < 2; i++) assert_int_equal(os_thread_start(&threads[i], look_at_the_clock, &end), 0);
  assert_true(os_sim_wait(INT64_MAX));
  assert_true(os_event_wait(&end, INT64_MAX));
  os_thread_join(&threads[1]);
  os_thread_join(&threads[0]);
  os_event_fini(&end);
  world_leave(w);
}

static void close_it(void *socket) {
  os_socket_close(*(os_socket *)socket);
}

static void a_close_ends_the_wait_of_another_thread(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.seed = 1});
  os_socket s = make_listener(80);
  os_thread t;
  assert_int_equal(os_thread_start(&t, close_it, &s), 0);
  assert_int_equal(os_socket_wait(s, OS_READABLE, -1), PORTICO_EINVAL);
  os_thread_join(&t);
  world_leave(w);
}

typedef struct meeting {
  os_sim        *world;
  os_mutex       lock;
  os_socket      pair[2];
  _Atomic bool   inside;
} meeting;

/* Looks at the clock until what was sent is due, and waits for who waits for that. */
static void let_time_pass(void *arg) {
  meeting     *m = arg;
  os_sim_stats stats;
  os_sim_get_stats(m->world, &stats);
  while (os_clock_now() <= stats.next_ns) {
  }
  os_mutex_lock(&m->lock);
  os_mutex_unlock(&m->lock);
}

static void what_is_due_arrives_when_all_wait(void **state) {
  (void)state;
  meeting   m = {.world = world_enter(&(os_sim_options){.seed = 1})};
  os_thread t;
  char      byte = 0;
  os_mutex_init(&m.lock);
  make_pair(m.pair);
  os_sim_set_rates(m.world, &(os_sim_rates){.delay = OS_SIM_ALWAYS});
  os_mutex_lock(&m.lock);
  assert_int_equal(os_socket_send(m.pair[0], &byte, 1), 1);
  assert_int_equal(os_thread_start(&t, let_time_pass, &m), 0);
  assert_int_equal(os_socket_wait(m.pair[1], OS_READABLE, -1), OS_READABLE);
  os_mutex_unlock(&m.lock);
  os_thread_join(&t);
  os_mutex_fini(&m.lock);
  for (int i = 0; i < 2; i++) os_socket_close(m.pair[i]);
  world_leave(m.world);
}

/* ---- guests ---- */

enum { GUESTS = 2 };

/* A thread that wants to enter a world. */
typedef struct guest {
  meeting       *meeting;
  os_thread      thread;
  os_thread_view view;
  _Atomic bool   ready;
  bool           met;
} guest;

static void enter_and_leave(void *arg) {
  guest *g = arg;
  os_thread_view_open(&g->view);
  g->ready = true;
  while (!g->meeting->inside) os_thread_yield();
  os_sim_enter(g->meeting->world);
  g->met = true;
  os_sim_leave();
  os_thread_view_close(&g->view);
}

/* Of threads that the world did not start one is inside; the others are let in, one by one, when it leaves. */
static void a_guest_waits_until_another_one_leaves(void **state) {
  (void)state;
#ifdef _WIN32
  print_message("skipped: Windows does not tell that a thread sleeps\n");
  skip();
#endif
  meeting m = {0};
  guest   guests[GUESTS] = {0};
  assert_int_equal(os_sim_open(&(os_sim_options){.seed = 1}, &m.world), 0);
  for (int i = 0; i < GUESTS; i++) {
    guests[i].meeting = &m;
    assert_int_equal(os_thread_start(&guests[i].thread, enter_and_leave, &guests[i]), 0);
  }
  os_sim_enter(m.world);
  m.inside = true;
  for (int i = 0; i < GUESTS; i++) {
    for (long n = 0; !guests[i].ready || !os_thread_asleep(&guests[i].view); n++) assert_true(n < 10 * 1000 * 1000);
  }
  os_sim_leave();
  for (int i = 0; i < GUESTS; i++) {
    os_thread_join(&guests[i].thread);
    assert_true(guests[i].met);
  }
  os_sim_close(m.world);
}

static void wait_for_the_lock(void *arg) {
  meeting *m = arg;
  os_mutex_lock(&m->lock);
  os_mutex_unlock(&m->lock);
}

/* A poller belongs to its world, wherever the caller is; who is not inside has no turn to give away. */
static void a_poller_may_be_told_from_outside(void **state) {
  (void)state;
  os_sim_options options = {.seed = 1, .rates.preempt = OS_SIM_ALWAYS};
  meeting        m = {.world = world_enter(&options)};
  os_sim        *other;
  os_thread      t[2];
  os_poller      p;
  os_socket      s = make(OS_UDP);
  os_mutex_init(&m.lock);
  assert_int_equal(os_poller_open(&p), 0);
  os_mutex_lock(&m.lock);
  for (int i = 0; i < 2; i++) assert_int_equal(os_thread_start(&t[i], wait_for_the_lock, &m), 0);
  os_sim_leave();
  assert_int_equal(os_poller_add(&p, s, &s), 0);
  other = world_enter(&options);
  assert_int_equal(os_poller_again(&p, s, &s), 0);
  world_leave(other);
  os_sim_enter(m.world);
  os_mutex_unlock(&m.lock);
  for (int i = 0; i < 2; i++) os_thread_join(&t[i]);
  os_poller_close(&p);
  os_socket_close(s);
  os_mutex_fini(&m.lock);
  world_leave(m.world);
}

static void mark_run(os_interrupt *i) {
  i->run = NULL;
}

static void an_interrupt_of_a_simulated_thread_runs_at_once(void **state) {
  (void)state;
  os_sim        *w = world_enter(&(os_sim_options){.seed = 1});
  os_thread_view self;
  os_interrupt   i = {mark_run};
  os_thread_view_open(&self);
  assert_int_equal(os_thread_interrupt(&self, 0, &i), 0);
  assert_null(i.run);
  os_thread_view_close(&self);
  world_leave(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_closed_socket_is_nobody_even_if_its_place_is_taken),
      cmocka_unit_test(a_poller_knows_only_what_is_its_own),
      cmocka_unit_test(a_world_that_goes_takes_what_was_left_open),
      cmocka_unit_test(a_name_is_given_once),
      cmocka_unit_test(a_name_is_free_when_nobody_listens_there),
      cmocka_unit_test(a_name_that_is_chosen_is_none_that_was_asked_for),
      cmocka_unit_test(a_stream_without_a_peer_moves_no_bytes),
      cmocka_unit_test(a_number_that_comes_back_means_somebody_else),
      cmocka_unit_test(an_end_that_comes_behind_a_reset_is_not_heard),
      cmocka_unit_test(who_shares_an_address_gets_some_of_its_clients),
      cmocka_unit_test(who_is_connected_or_listens_stays_so),
      cmocka_unit_test(buffers_may_change_while_connected),
      cmocka_unit_test(nothing_may_be_sent_and_received),
      cmocka_unit_test(a_datagram_socket_neither_listens_nor_ends),
      cmocka_unit_test(a_refused_datagram_is_told_by_the_next_call),
      cmocka_unit_test(a_datagram_that_nobody_takes_is_lost),
      cmocka_unit_test(a_datagram_fills_one_buffer_after_the_other),
      cmocka_unit_test(refusals_of_datagrams_come_as_often_as_asked_for),
      cmocka_unit_test(a_wait_may_be_longer_than_time),
      cmocka_unit_test(a_close_ends_the_wait_of_another_thread),
      cmocka_unit_test(what_is_due_arrives_when_all_wait),
      cmocka_unit_test(a_guest_waits_until_another_one_leaves),
      cmocka_unit_test(a_poller_may_be_told_from_outside),
      cmocka_unit_test(an_interrupt_of_a_simulated_thread_runs_at_once),
  };
  return cmocka_run_group_tests_name("os_sim_misuse", tests, NULL, NULL);
}
