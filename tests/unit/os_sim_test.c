/* os_sim_test.c - the simulated kernel: what it promises, what it does to a program, and that it does it again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/poller.h"
#include "os/thread.h"
#include "unit/sim_sockets.h"

static const os_sim_rates rough = {.delay = OS_SIM_ALWAYS / 2,
                                   .split = OS_SIM_ALWAYS / 2,
                                   .short_send = OS_SIM_ALWAYS / 2,
                                   .again = OS_SIM_ALWAYS / 4,
                                   .spurious = OS_SIM_ALWAYS / 4,
                                   .shuffle = OS_SIM_ALWAYS / 2};

/* ---- a world, and sockets in it ---- */

static os_sim *world_calm(uint64_t seed) {
  return world_enter(&(os_sim_options){.seed = seed});
}

/* Nothing may be left open in it. */
static void world_leave(os_sim *w) {
  os_sim_stats stats;
  os_sim_get_stats(w, &stats);
  assert_int_equal(stats.sockets, 0);
  assert_int_equal(stats.stale_calls, 0);
  os_sim_leave();
  os_sim_close(w);
}

static os_socket make_bound(os_socket_type type, os_addr *out_at) {
  os_addr   any = addr_of(0);
  os_socket s = make(type);
  assert_int_equal(os_socket_bind(s, &any), 0);
  assert_int_equal(os_socket_local(s, out_at), 0);
  return s;
}

static void wait_for(os_socket s, int events) {
  assert_true(os_socket_wait(s, events, 10LL * OS_NS_PER_S) > 0);
}

static os_socket make_listener(os_addr *out_at) {
  os_socket s = make_bound(OS_TCP, out_at);
  assert_int_equal(os_socket_listen(s, 4), 0);
  return s;
}

/* Connects, and says how it ended. */
static int connect_to(os_socket s, const os_addr *at) {
  int err = os_socket_connect(s, at);
  if (err != PORTICO_EAGAIN) return err;
  wait_for(s, OS_WRITABLE);
  return os_socket_take_error(s);
}

static os_socket accept_from(os_socket listener) {
  os_socket s;
  os_addr   peer;
  int       err;
  do {
    wait_for(listener, OS_READABLE);
    err = os_socket_accept(listener, &s, &peer);
  } while (err == PORTICO_EAGAIN);
  assert_int_equal(err, 0);
  return s;
}

static void make_pair(os_socket out[2]) {
  os_addr   at;
  os_socket listener = make_listener(&at);
  out[0] = make(OS_TCP);
  assert_int_equal(connect_to(out[0], &at), 0);
  out[1] = accept_from(listener);
  os_socket_close(listener);
}

/* What a receive says once it has something to say. */
static int64_t recv_some(os_socket s, void *data, size_t len) {
  int64_t n;
  while ((n = os_socket_recv(s, data, len)) == PORTICO_EAGAIN) wait_for(s, OS_READABLE);
  return n;
}

static void close_pair(os_socket s[2]) {
  os_socket_close(s[0]);
  os_socket_close(s[1]);
}

/* ---- streams ---- */

/* Sends a megabyte through small buffers, as one end has room and the other has bytes. */
static void bytes_arrive_in_order_however_they_are_cut(void **state) {
  enum { TOTAL = 1 << 20, CHUNK = 5000 };
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    os_sim       *w = world_enter(&(os_sim_options){.seed = seed, .rates = rough, .buffer_bytes = 20000});
    os_socket     s[2];
    unsigned char chunk[CHUNK];
    uint32_t      sent = 0, got = 0;
    make_pair(s);
    while (got < TOTAL) {
      for (uint32_t i = 0; i < CHUNK; i++) chunk[i] = (unsigned char)((sent + i) * 2654435761u >> 24);
      size_t  len = TOTAL - sent < CHUNK ? TOTAL - sent : CHUNK;
      int64_t n = len == 0 ? 0 : os_socket_send(s[0], chunk, len);
      if (n > 0) sent += (uint32_t)n;
      n = os_socket_recv(s[1], chunk, CHUNK);
      if (n == PORTICO_EAGAIN) os_socket_wait(s[1], OS_READABLE, OS_NS_PER_MS); /* or the send was turned away */
      for (int64_t i = 0; i < n; i++) assert_int_equal(chunk[i], (unsigned char)((got + i) * 2654435761u >> 24));
      if (n > 0) got += (uint32_t)n;
    }
    assert_int_equal(sent, TOTAL);
    close_pair(s);
    world_leave(w);
  }
}

static void a_full_buffer_pushes_back_and_room_is_told(void **state) {
  (void)state;
  os_sim   *w = world_enter(&(os_sim_options){.buffer_bytes = 1000});
  os_socket s[2];
  char      data[1500] = "";
  make_pair(s);
  assert_int_equal(os_socket_send(s[0], data, 1500), 1000);
  assert_int_equal(os_socket_send(s[0], data, 1), PORTICO_EAGAIN);
  assert_int_equal(os_socket_wait(s[0], OS_WRITABLE, OS_NS_PER_MS), PORTICO_ETIMEDOUT);
  assert_int_equal(os_socket_recv(s[1], data, 1500), 1000);
  wait_for(s[0], OS_WRITABLE);
  assert_int_equal(os_socket_send(s[0], data, 1500), 1000);
  close_pair(s); /* unread */
  world_leave(w);
}

static void an_end_comes_behind_the_bytes_and_stays(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_socket s[2];
  char      data[8];
  make_pair(s);
  assert_int_equal(os_socket_send(s[0], "last", 4), 4);
  assert_int_equal(os_socket_shutdown_send(s[0]), 0);
  assert_int_equal(os_socket_send(s[0], "x", 1), PORTICO_EPIPE);
  assert_int_equal(recv_some(s[1], data, 8), 4);
  for (int i = 0; i < 3; i++) assert_int_equal(recv_some(s[1], data, 8), 0);
  assert_int_equal(os_socket_send(s[1], "back", 4), 4); /* the other direction lives */
  assert_int_equal(recv_some(s[0], data, 8), 4);
  close_pair(s);
  world_leave(w);
}

static void a_reset_is_one_error_and_then_the_end(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_socket s[2];
  os_addr   peer;
  char      data[8];
  make_pair(s);
  assert_int_equal(os_socket_set_reset_on_close(s[0]), 0);
  os_socket_close(s[0]);
  assert_int_equal(recv_some(s[1], data, 8), PORTICO_ECONNRESET);
  assert_int_equal(recv_some(s[1], data, 8), 0);
  assert_int_equal(os_socket_send(s[1], "x", 1), PORTICO_EPIPE);
  assert_int_equal(os_socket_peer(s[1], &peer), PORTICO_ENOTCONN);
  assert_true(os_socket_was_connected(s[1]));
  os_socket_close(s[1]);
  world_leave(w);
}

static void closing_with_unread_bytes_resets_the_peer(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_socket s[2];
  char      data[8];
  make_pair(s);
  assert_int_equal(os_socket_send(s[0], "unread", 6), 6);
  wait_for(s[1], OS_READABLE);
  os_socket_close(s[1]);
  assert_int_equal(recv_some(s[0], data, 8), PORTICO_ECONNRESET);
  os_socket_close(s[0]);
  world_leave(w);
}

static void what_comes_after_a_close_is_answered_with_a_reset(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_socket s[2];
  char      data[8];
  make_pair(s);
  os_socket_close(s[1]);
  assert_int_equal(recv_some(s[0], data, 8), 0);
  assert_int_equal(os_socket_send(s[0], "late", 4), 4);
  assert_int_equal(os_socket_send(s[0], "late", 4), PORTICO_EPIPE); /* it had the end already */
  os_socket_close(s[0]);
  world_leave(w);
}

/* ---- connecting ---- */

static void nobody_listening_refuses(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 10; seed++) { /* now and later */
    os_sim   *w = world_enter(&(os_sim_options){.seed = seed, .rates = rough});
    os_addr   dead;
    os_socket bound = make_bound(OS_TCP, &dead), s = make(OS_TCP);
    assert_int_equal(connect_to(s, &dead), PORTICO_ECONNREFUSED);
    os_socket_close(s);
    os_socket_close(bound);
    world_leave(w);
  }
}

static void a_full_queue_keeps_a_client_waiting_or_times_it_out(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_addr   at;
  os_socket listener = make_listener(&at), clients[5];
  for (int i = 0; i < 4; i++) assert_int_equal(connect_to(clients[i] = make(OS_TCP), &at), 0);
  clients[4] = make(OS_TCP);
  assert_int_equal(os_socket_connect(clients[4], &at), PORTICO_EAGAIN);
  os_socket_close(accept_from(listener));
  wait_for(clients[4], OS_WRITABLE);
  assert_int_equal(os_socket_take_error(clients[4]), 0);
  os_socket late = make(OS_TCP);
  assert_int_equal(connect_to(late, &at), PORTICO_ETIMEDOUT);
  os_socket_close(late);
  for (int i = 0; i < 5; i++) os_socket_close(clients[i]);
  os_socket_close(listener);
  world_leave(w);
}

static void an_address_belongs_to_one_socket_unless_both_share_it(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_addr   at;
  os_socket a = make_listener(&at), b = make(OS_TCP);
  assert_int_equal(os_socket_bind(b, &at), PORTICO_EADDRINUSE);
  assert_int_equal(os_socket_share_address(a), 0);
  assert_int_equal(os_socket_share_address(b), 0);
  assert_int_equal(os_socket_bind(b, &at), 0);
  os_socket_close(a);
  os_socket_close(b);
  world_leave(w);
}

static void families_do_not_meet(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_addr   at, v6, v4;
  os_socket b, c, unnamed = make(OS_TCP), a = OS_SOCKET_NONE;
  assert_int_equal(os_addr_parse("::1", 0, &v6), 0);
  assert_int_equal(os_socket_open(OS_TCP, &v6, &a), 0);
  assert_int_equal(os_socket_bind(a, &v6), 0);
  assert_int_equal(os_socket_listen(a, 4), 0);
  assert_int_equal(os_socket_local(a, &at), 0);
  v4 = addr_of(os_addr_port(&at));
  b = make(OS_TCP);
  assert_int_equal(os_socket_bind(b, &v4), 0); /* the number is free there */
  os_socket_close(b);
  b = make(OS_TCP);
  assert_int_equal(connect_to(b, &v4), PORTICO_ECONNREFUSED);
  assert_int_equal(os_socket_open(OS_TCP, &v6, &c), 0);
  assert_int_equal(connect_to(c, &at), 0);
  os_socket_close(accept_from(a));
  assert_int_equal(os_socket_listen(unnamed, 4), 0); /* on a number of its own */
  assert_int_equal(os_socket_local(unnamed, &at), 0);
  assert_true(os_addr_port(&at) != 0);
  os_socket_close(a);
  os_socket_close(b);
  os_socket_close(c);
  os_socket_close(unnamed);
  world_leave(w);
}

static void faults_come_as_often_as_asked_for(void **state) {
  (void)state;
  os_addr   at, family = addr_of(0);
  os_socket s;
  os_sim   *w = world_enter(&(os_sim_options){.rates = {.descriptors = OS_SIM_ALWAYS}});
  assert_int_equal(os_socket_open(OS_TCP, &family, &s), PORTICO_EMFILE);
  world_leave(w);
  w = world_enter(&(os_sim_options){.rates = {.memory = OS_SIM_ALWAYS}});
  assert_int_equal(os_socket_open(OS_TCP, &family, &s), PORTICO_ENOMEM);
  os_poller poller;
  assert_int_equal(os_poller_open(&poller), PORTICO_ENOMEM);
  world_leave(w);
  w = world_enter(&(os_sim_options){.rates = {.refuse = OS_SIM_ALWAYS}});
  os_socket listener = make_listener(&at), client = make(OS_TCP);
  assert_int_equal(connect_to(client, &at), PORTICO_ECONNREFUSED);
  os_socket_close(client);
  os_socket_close(listener);
  world_leave(w);
  w = world_enter(&(os_sim_options){.rates = {.reset = OS_SIM_ALWAYS}});
  os_socket pair[2];
  make_pair(pair);
  assert_int_equal(os_socket_send(pair[0], "x", 1), PORTICO_ECONNRESET);
  close_pair(pair);
  world_leave(w);
}

/* ---- datagrams ---- */

static void a_datagram_arrives_whole_with_its_source(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_addr   a_at, b_at, from;
  os_socket a = make_bound(OS_UDP, &a_at), b = make_bound(OS_UDP, &b_at);
  char      data[8];
  bool      cut = true;
  assert_int_equal(os_socket_send_bufs(a, (os_buf[]){{(char *)"on", 2}, {(char *)"e", 1}}, 2, &b_at), 3);
  assert_int_equal(os_socket_send_bufs(a, &(os_buf){(char *)"twenty", 6}, 1, &b_at), 6);
  assert_int_equal(os_socket_recv_bufs(b, (os_buf[]){{data, 1}, {data + 4, 4}}, 2, &from, &cut), 3);
  assert_false(cut);
  assert_true(data[0] == 'o' && data[4] == 'n' && data[5] == 'e');
  assert_int_equal(os_addr_port(&from), os_addr_port(&a_at));
  assert_int_equal(os_socket_recv_bufs(b, &(os_buf){data, 4}, 1, NULL, &cut), 4);
  assert_true(cut);
  assert_int_equal(os_socket_recv(b, data, 8), PORTICO_EAGAIN);
  os_socket_close(a);
  os_socket_close(b);
  world_leave(w);
}

/* result   how many of count came, and whether they were in order */
static unsigned datagrams_through(const os_sim_rates *rates, unsigned count, bool *out_in_order) {
  os_sim   *w = world_enter(&(os_sim_options){.seed = 5, .rates = *rates});
  os_addr   at;
  os_socket a = make(OS_UDP), b = make_bound(OS_UDP, &at);
  unsigned  came = 0, last = 0, number;
  *out_in_order = true;
  for (unsigned i = 1; i <= count; i++) {
    assert_int_equal(os_socket_send_bufs(a, &(os_buf){&i, sizeof i}, 1, &at), sizeof i);
  }
  while (os_socket_wait(b, OS_READABLE, 10 * OS_NS_PER_MS) > 0) {
    if (os_socket_recv(b, &number, sizeof number) < 0) continue;
    if (number < last) *out_in_order = false;
    last = number;
    came++;
  }
  os_socket_close(a);
  os_socket_close(b);
  world_leave(w);
  return came;
}

static void datagrams_are_lost_doubled_and_reordered_only_if_asked_for(void **state) {
  (void)state;
  bool in_order;
  assert_int_equal(datagrams_through(&(os_sim_rates){.delay = OS_SIM_ALWAYS / 2}, 200, &in_order), 200);
  assert_true(in_order);
  assert_in_range(datagrams_through(&(os_sim_rates){.drop = OS_SIM_ALWAYS / 2}, 200, &in_order), 50, 150);
  assert_int_equal(datagrams_through(&(os_sim_rates){.duplicate = OS_SIM_ALWAYS}, 200, &in_order), 400);
  os_sim_rates mixed = {.delay = OS_SIM_ALWAYS / 2, .reorder = OS_SIM_ALWAYS / 2};
  assert_int_equal(datagrams_through(&mixed, 200, &in_order), 200);
  assert_false(in_order);
}

/* ---- the poller ---- */

static uint32_t poll_one(os_poller *p, void *owner, int64_t for_ns) {
  os_poll_event events[4];
  int           n = os_poller_wait(p, events, 4, for_ns == 0 ? 0 : os_clock_now() + for_ns);
  if (n == 0) return 0;
  assert_int_equal(n, 1);
  assert_ptr_equal(events[0].owner, owner);
  return events[0].what;
}

static void each_change_is_announced_once(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_poller p;
  os_socket s[2];
  char      data[8];
  make_pair(s);
  assert_int_equal(os_poller_open(&p), 0);
  assert_int_equal(os_poller_add(&p, s[1], &s[1]), 0);
  assert_int_equal(os_poller_add(&p, s[1], &s[1]), PORTICO_EINVAL);
  assert_int_equal(poll_one(&p, &s[1], 0), OS_POLL_OUT);
  assert_int_equal(poll_one(&p, &s[1], OS_NS_PER_MS), 0);
  assert_int_equal(os_socket_send(s[0], "ab", 2), 2);
  assert_int_equal(poll_one(&p, &s[1], OS_NS_PER_MS), OS_POLL_IN | OS_POLL_OUT);
  assert_int_equal(os_socket_recv(s[1], data, 1), 1);
  assert_int_equal(poll_one(&p, &s[1], OS_NS_PER_MS), 0); /* the rest is not news */
  assert_int_equal(os_poller_again(&p, s[1], &data), 0);
  assert_int_equal(poll_one(&p, &data, 0), OS_POLL_IN | OS_POLL_OUT);
  os_socket_close(s[0]);
  assert_int_equal(poll_one(&p, &data, OS_NS_PER_MS) & OS_POLL_END, OS_POLL_END);
  os_poller_remove(&p, s[1]);
  os_socket_close(s[1]);
  os_poller_close(&p);
  world_leave(w);
}

static void wake(void *p) {
  os_poller_wake(p);
}

static void a_wake_ends_a_wait_without_limit(void **state) {
  (void)state;
  os_sim       *w = world_enter(&(os_sim_options){.clock = OS_SIM_REAL});
  os_poller     p;
  os_poll_event event;
  os_thread     t;
  assert_int_equal(os_poller_open(&p), 0);
  assert_int_equal(os_thread_start(&t, wake, &p), 0);
  assert_int_equal(os_poller_wait(&p, &event, 1, INT64_MAX), 0);
  os_thread_join(&t);
  os_poller_close(&p);
  world_leave(w);
}

/* ---- time, and doing it again ---- */

static void virtual_time_leaps_over_waits_and_moves_by_looks(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_addr   at;
  os_event  never;
  os_socket s = make_bound(OS_UDP, &at);
  int64_t   began = os_clock_now();
  assert_true(os_clock_now() > began);
  assert_int_equal(os_socket_wait(s, OS_READABLE, 3600LL * OS_NS_PER_S), PORTICO_ETIMEDOUT);
  assert_int_equal(os_event_init(&never), 0);
  assert_false(os_event_wait(&never, 3600LL * OS_NS_PER_S));
  os_event_fini(&never);
  int64_t passed = os_clock_now() - began;
  assert_true(passed >= 7200LL * OS_NS_PER_S && passed < 7201LL * OS_NS_PER_S);
  os_socket_close(s);
  world_leave(w);
}

static void outside_a_world_its_sockets_mean_nothing(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  os_addr   at;
  char      byte;
  os_socket s = make_bound(OS_UDP, &at);
  os_sim_leave();
  assert_null(os_sim_here());
  assert_int_equal(os_socket_recv(s, &byte, 1), PORTICO_EINVAL);
  os_sim_enter(w);
  assert_ptr_equal(os_sim_here(), w);
  os_socket_close(s);
  world_leave(w);
}

typedef struct record {
  char  *text;
  size_t len;
} record;

static void record_line(const char *line, void *arg) {
  record *r = arg;
  size_t  len = strlen(line);
  r->text = realloc(r->text, r->len + len + 2);
  assert_non_null(r->text);
  memcpy(r->text + r->len, line, len + 1);
  r->len += len;
  r->text[r->len++] = '\n';
  r->text[r->len] = '\0';
}

/* result   the hash of the trace, whose lines are in *out */
static uint64_t some_run(uint64_t seed, record *out) {
  os_sim *w = world_enter(&(os_sim_options){.seed = seed, .rates = rough, .on_trace = record_line, .trace_arg = out});
  os_socket s[2];
  char      data[64] = "";
  make_pair(s);
  for (unsigned i = 0; i < 50; i++) {
    os_socket_send(s[0], data, 1 + os_sim_random(w, sizeof data));
    os_socket_wait(s[1], OS_READABLE, OS_NS_PER_MS);
    os_socket_recv(s[1], data, sizeof data);
  }
  close_pair(s);
  os_sim_stats stats;
  os_sim_get_stats(w, &stats);
  world_leave(w);
  return stats.trace_hash;
}

static void the_same_seed_makes_the_same_trace_and_another_one_another(void **state) {
  (void)state;
  record   first = {0}, again = {0}, other = {0};
  uint64_t hash = some_run(7, &first);
  assert_true(some_run(7, &again) == hash);
  assert_true(some_run(8, &other) != hash);
  assert_string_equal(first.text, again.text);
  assert_string_not_equal(first.text, other.text);
  free(first.text);
  free(again.text);
  free(other.text);
}

static void rates_and_trace_of_a_running_world_can_be_changed(void **state) {
  (void)state;
  record  lines = {0};
  os_sim *w = world_calm(1);
  os_addr at = addr_of(0);
  os_socket s;
  os_sim_set_trace(w, record_line, &lines);
  os_sim_set_rates(w, &(os_sim_rates){.descriptors = OS_SIM_ALWAYS});
  assert_int_equal(os_socket_open(OS_TCP, &at, &s), PORTICO_EMFILE);
  os_sim_set_rates(w, &(os_sim_rates){0});
  os_socket pair[2];
  make_pair(pair);
  assert_non_null(lines.text);
  os_sim_set_trace(w, NULL, NULL);
  size_t len = lines.len;
  close_pair(pair);
  assert_int_equal(lines.len, len);
  free(lines.text);
  world_leave(w);
}

static void stats_tell_when_the_next_thing_arrives(void **state) {
  (void)state;
  os_sim      *w = world_calm(1);
  os_sim_stats stats;
  os_socket    s[2];
  make_pair(s);
  os_sim_get_stats(w, &stats);
  assert_true(stats.under_way == 0 && stats.next_ns == INT64_MAX);
  os_sim_set_rates(w, &(os_sim_rates){.delay = OS_SIM_ALWAYS});
  assert_int_equal(os_socket_send(s[0], "x", 1), 1);
  os_sim_get_stats(w, &stats);
  assert_int_equal(stats.under_way, 1);
  assert_true(stats.next_ns < INT64_MAX);
  os_sim_set_rates(w, &(os_sim_rates){0});
  wait_for(s[1], OS_READABLE);
  assert_true(os_clock_now() >= stats.next_ns);
  close_pair(s);
  world_leave(w);
}

static void what_becomes_due_in_a_wait_happens(void **state) {
  (void)state;
  os_sim      *w = world_enter(&(os_sim_options){.seed = 1, .rates.delay = OS_SIM_ALWAYS});
  os_sim_stats stats;
  os_event     pause;
  os_socket    s[2];
  assert_int_equal(os_event_init(&pause), 0);
  make_pair(s);
  assert_int_equal(os_socket_send(s[0], "x", 1), 1);
  os_sim_get_stats(w, &stats);
  assert_true(stats.next_ns < INT64_MAX);
  os_event_wait(&pause, OS_NS_PER_S);
  os_sim_get_stats(w, &stats);
  assert_true(stats.next_ns == INT64_MAX);
  os_event_fini(&pause);
  close_pair(s);
  world_leave(w);
}

/* ---- threads ---- */

enum { THREADS = 3, TURNS = 20 };

/* What the threads of a test share. */
typedef struct crowd {
  os_mutex lock;
  os_event event;
  unsigned inside; /* the lock */
  char     order[THREADS * TURNS + 1];
  size_t   count;
} crowd;

static _Atomic unsigned crowd_numbers;

static void crowd_note(crowd *c, unsigned who) {
  c->order[c->count++] = (char)('a' + who);
}

/* Takes the lock again and again, and goes through the kernel with it. */
static void crowd_lock_and_look(void *arg) {
  crowd   *c = arg;
  unsigned who = crowd_numbers++;
  for (unsigned i = 0; i < TURNS; i++) {
    os_mutex_lock(&c->lock);
    assert_int_equal(c->inside++, 0);
    os_clock_now();
    crowd_note(c, who);
    c->inside--;
    os_mutex_unlock(&c->lock);
    os_clock_now();
  }
}

/* Runs THREADS of them in a world with that seed. */
static void crowd_run(crowd *c, uint64_t seed, void (*body)(void *arg)) {
  os_thread threads[THREADS];
  os_sim   *w = world_enter(&(os_sim_options){.seed = seed, .rates.preempt = OS_SIM_ALWAYS / 3});
  *c = (crowd){0};
  crowd_numbers = 0;
  os_mutex_init(&c->lock);
  assert_int_equal(os_event_init(&c->event), 0);
  for (unsigned i = 0; i < THREADS; i++) assert_int_equal(os_thread_start(&threads[i], body, c), 0);
  for (unsigned i = 0; i < THREADS; i++) os_thread_join(&threads[i]);
  os_event_fini(&c->event);
  os_mutex_fini(&c->lock);
  world_leave(w);
}

static void threads_take_turns_as_the_seed_says(void **state) {
  (void)state;
  unsigned different = 0;
  for (uint64_t seed = 1; seed <= 50; seed++) {
    crowd first, again, other;
    crowd_run(&first, seed, crowd_lock_and_look);
    crowd_run(&again, seed, crowd_lock_and_look);
    crowd_run(&other, seed + 1, crowd_lock_and_look);
    assert_int_equal(first.count, THREADS * TURNS);
    assert_string_equal(first.order, again.order);
    different += strcmp(first.order, other.order) != 0;
  }
  assert_int_equal(different, 50);
}

static void crowd_sleep_in_turn(void *arg) {
  crowd   *c = arg;
  os_event none;
  unsigned who = crowd_numbers++;
  assert_int_equal(os_event_init(&none), 0);
  int64_t until_ns = (int64_t)(THREADS - who) * OS_NS_PER_S * 3600;
  assert_false(os_event_wait(&none, until_ns));
  assert_true(os_clock_now() >= until_ns);
  crowd_note(c, who);
  os_event_fini(&none);
}

static void time_passes_when_all_threads_wait(void **state) {
  (void)state;
  crowd c;
  crowd_run(&c, 1, crowd_sleep_in_turn);
  assert_string_equal(c.order, "cba");
}

/* The first waits, the others set. */
static void crowd_set_and_wait(void *arg) {
  crowd   *c = arg;
  unsigned who = crowd_numbers++;
  if (who > 0) {
    os_event_set(&c->event);
    return;
  }
  int64_t begun_ns = os_clock_now();
  assert_true(os_event_wait(&c->event, OS_NS_PER_S));
  assert_true(os_clock_now() - begun_ns < OS_NS_PER_MS);
}

static void an_event_of_another_thread_ends_a_wait(void **state) {
  (void)state;
  crowd c;
  for (uint64_t seed = 1; seed <= 20; seed++) crowd_run(&c, seed, crowd_set_and_wait);
}

static void crowd_count(void *arg) {
  crowd *c = arg;
  for (unsigned i = 0; i < 5; i++) {
    crowd_note(c, 0);
    os_event_wait(&c->event, OS_NS_PER_S);
  }
}

static void a_world_whose_guest_is_away_stands_still(void **state) {
  (void)state;
  os_sim   *w = world_calm(1);
  crowd     c = {0};
  os_thread t;
  assert_int_equal(os_event_init(&c.event), 0);
  assert_int_equal(os_thread_start(&t, crowd_count, &c), 0);
  os_thread_yield();
  os_sim_leave();
  size_t  seen = c.count;
  int64_t until_ns = os_clock_now() + 5 * OS_NS_PER_MS;
  while (os_clock_now() < until_ns) os_thread_yield();
  assert_int_equal(c.count, seen);
  os_sim_enter(w);
  os_thread_join(&t);
  assert_int_equal(c.count, 5);
  os_event_fini(&c.event);
  world_leave(w);
}

static void crowd_see_the_others(void *arg) {
  crowd         *c = arg;
  os_thread_view view;
  os_thread_view_open(&view);
  for (int i = 0; i < 1000; i++) os_clock_now();
  os_thread_yield();
  assert_true(os_thread_cpu_ns(&view) > 0);
  assert_false(os_thread_asleep(&view));
  os_thread_view_close(&view);
  crowd_note(c, 0);
}

static void views_tell_of_simulated_threads(void **state) {
  (void)state;
  crowd c;
  crowd_run(&c, 3, crowd_see_the_others);
  assert_int_equal(c.count, THREADS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_arrive_in_order_however_they_are_cut),
      cmocka_unit_test(a_full_buffer_pushes_back_and_room_is_told),
      cmocka_unit_test(an_end_comes_behind_the_bytes_and_stays),
      cmocka_unit_test(a_reset_is_one_error_and_then_the_end),
      cmocka_unit_test(closing_with_unread_bytes_resets_the_peer),
      cmocka_unit_test(what_comes_after_a_close_is_answered_with_a_reset),
      cmocka_unit_test(nobody_listening_refuses),
      cmocka_unit_test(a_full_queue_keeps_a_client_waiting_or_times_it_out),
      cmocka_unit_test(an_address_belongs_to_one_socket_unless_both_share_it),
      cmocka_unit_test(families_do_not_meet),
      cmocka_unit_test(faults_come_as_often_as_asked_for),
      cmocka_unit_test(a_datagram_arrives_whole_with_its_source),
      cmocka_unit_test(datagrams_are_lost_doubled_and_reordered_only_if_asked_for),
      cmocka_unit_test(each_change_is_announced_once),
      cmocka_unit_test(a_wake_ends_a_wait_without_limit),
      cmocka_unit_test(virtual_time_leaps_over_waits_and_moves_by_looks),
      cmocka_unit_test(outside_a_world_its_sockets_mean_nothing),
      cmocka_unit_test(the_same_seed_makes_the_same_trace_and_another_one_another),
      cmocka_unit_test(rates_and_trace_of_a_running_world_can_be_changed),
      cmocka_unit_test(stats_tell_when_the_next_thing_arrives),
      cmocka_unit_test(what_becomes_due_in_a_wait_happens),
      cmocka_unit_test(threads_take_turns_as_the_seed_says),
      cmocka_unit_test(time_passes_when_all_threads_wait),
      cmocka_unit_test(an_event_of_another_thread_ends_a_wait),
      cmocka_unit_test(a_world_whose_guest_is_away_stands_still),
      cmocka_unit_test(views_tell_of_simulated_threads),
  };
  return cmocka_run_group_tests_name("os_sim", tests, NULL, NULL);
}
