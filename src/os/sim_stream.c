/* sim_stream.c - connections of a world: two flows of bytes, each in order, at its own pace, until an end or a reset.
 *
 * Bytes that were sent are with the receiver at once but count as arrived later: then its poller hears of them. What
 * the receiver has taken makes room for the sender, also later. A reset overtakes what is on its way. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "os/sim_world.h"

enum { SIM_FLOW_ROOM = 512, SIM_PARTS_MAX = 4 };

static sim_conn *sim_conn_make(sim_socket *from, sim_socket *to) {
  sim_conn *c = sim_new(sizeof *c);
  c->refs = 2;
  c->ends[0] = from;
  c->ends[1] = to;
  for (unsigned i = 0; i < 2; i++) {
    c->ends[i]->conn = c;
    c->ends[i]->side = i;
    c->ends[i]->state = SIM_CONNECTED;
    c->flows[i].bytes_max = c->ends[i]->bytes_max;
  }
  return c;
}

static void sim_conn_unref(sim_conn *c) {
  if (--c->refs > 0) return;
  free(c->flows[0].bytes);
  free(c->flows[1].bytes);
  free(c);
}

static sim_flow *sim_flow_out(const sim_socket *s) {
  return &s->conn->flows[s->side];
}

static sim_flow *sim_flow_in(const sim_socket *s) {
  return &s->conn->flows[1 - s->side];
}

static size_t sim_flow_free(const sim_flow *f) {
  size_t used = (size_t)(f->sent - f->acked);
  return used < f->bytes_max ? f->bytes_max - used : 0;
}

void sim_stream_limit_locked(sim_socket *s) {
  sim_flow_out(s)->bytes_max = s->bytes_max;
}

/* ---- what arrives ---- */

/* Has `run` happen at the other end of `side`, behind all that is on its way there. */
static void sim_conn_send_locked(os_sim *w, sim_conn *c, unsigned side, void (*run)(os_sim *w, sim_event *e),
                                 uint64_t until) {
  sim_flow *f = &c->flows[side];
  sim_event e = {.run = run, .conn = c, .side = side, .until = until};
  int64_t   due = sim_now_locked(w) + sim_delay_locked(w);
  bool      in_line = f->under_way > 0;
  if (in_line && due < f->arrives_ns) due = f->arrives_ns;
  f->arrives_ns = due;
  f->under_way++;
  c->refs++;
  sim_happen_locked(w, &e, due, in_line);
}

static void sim_on_reset(os_sim *w, sim_event *e) {
  sim_conn   *c = e->conn;
  sim_socket *s = c->ends[1 - e->side];
  if (s != NULL && s->state == SIM_CONNECTED) {
    s->state = SIM_DEAD;
    s->error = c->flows[e->side].ended ? PORTICO_EPIPE : PORTICO_ECONNRESET;
    sim_note_locked(w, s, "reset arrives", 0);
    sim_announce_locked(w, s);
  }
  sim_conn_unref(c);
}

/* Tells the other end of `side` that there is no connection. */
static void sim_conn_reset_locked(os_sim *w, sim_conn *c, unsigned side) {
  sim_event e = {.run = sim_on_reset, .conn = c, .side = side};
  c->refs++;
  sim_happen_locked(w, &e, sim_now_locked(w) + sim_delay_locked(w), false);
}

/* The receiver of something that side sent; a closed one answers with a reset. result: NULL = it has no use for it */
static sim_socket *sim_conn_receiver_locked(os_sim *w, sim_conn *c, unsigned side) {
  sim_socket *s = c->ends[1 - side];
  if (s == NULL) sim_conn_reset_locked(w, c, 1 - side);
  return s != NULL && s->state == SIM_CONNECTED ? s : NULL;
}

static void sim_on_bytes(os_sim *w, sim_event *e) {
  sim_flow   *f = &e->conn->flows[e->side];
  sim_socket *s = sim_conn_receiver_locked(w, e->conn, e->side);
  f->under_way--;
  if (s != NULL) {
    f->arrived = e->until;
    sim_note_locked(w, s, "arrived", f->arrived);
    sim_announce_locked(w, s);
  }
  sim_conn_unref(e->conn);
}

static void sim_on_end(os_sim *w, sim_event *e) {
  sim_flow   *f = &e->conn->flows[e->side];
  sim_socket *s = e->conn->ends[1 - e->side]; /* an end needs no answer */
  f->under_way--;
  if (s != NULL && s->state == SIM_CONNECTED) {
    f->ended = true;
    sim_note_locked(w, s, "end arrives", f->arrived);
    sim_announce_locked(w, s);
  }
  sim_conn_unref(e->conn);
}

/* What the other end of `side` has taken makes room for side; it hears of that if it asked, once it is worth a send. */
static void sim_on_room(os_sim *w, sim_event *e) {
  sim_flow   *f = &e->conn->flows[e->side];
  sim_socket *s = e->conn->ends[e->side];
  if (f->acked < e->until) f->acked = e->until;
  if (s != NULL && s->no_room && sim_flow_free(f) >= f->bytes_max / 3) {
    s->no_room = false;
    sim_note_locked(w, s, "room", sim_flow_free(f));
    sim_announce_locked(w, s);
  }
  sim_conn_unref(e->conn);
}

uint32_t sim_stream_look_locked(os_sim *w, sim_socket *s) {
  (void)w;
  switch (s->state) { /* uncovered: there is no other state */
  case SIM_FRESH: return OS_POLL_OUT | OS_POLL_HUP;
  case SIM_LISTENING: return s->first != NULL ? OS_POLL_IN : 0;
  case SIM_CONNECTING: return 0;
  case SIM_DEAD:
    return OS_POLL_IN | OS_POLL_OUT | OS_POLL_HUP | OS_POLL_END | (s->error != 0 ? OS_POLL_ERR : 0);
  case SIM_CONNECTED: break;
  }
  const sim_flow *in = sim_flow_in(s), *out = sim_flow_out(s);
  uint32_t        what = in->arrived > in->taken ? OS_POLL_IN : 0;
  if (in->ended) what |= OS_POLL_IN | OS_POLL_END;
  if (s->shut || sim_flow_free(out) >= out->bytes_max / 3) what |= OS_POLL_OUT;
  else s->no_room = true; /* who saw that there was none is told when there is */
  if (in->ended && s->shut) what |= OS_POLL_HUP;
  return what;
}

/* ---- receiving ---- */

static void sim_flow_take(sim_flow *f, const os_buf *bufs, unsigned count, size_t len) {
  f->taken += len;
  for (unsigned i = 0; i < count && len > 0; i++) {
    size_t part = len < bufs[i].len ? len : bufs[i].len;
    if (part > 0) memcpy(bufs[i].data, f->bytes + f->begin, part);
    f->begin += part;
    len -= part;
  }
  if (f->begin == f->end) f->begin = f->end = 0;
}

static size_t sim_bufs_bytes(const os_buf *bufs, unsigned count) {
  size_t bytes = 0;
  for (unsigned i = 0; i < count; i++) bytes += bufs[i].len;
  return bytes;
}

int64_t sim_stream_recv_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count) {
  if (s->conn == NULL) return s->error != 0 ? sim_take_error_locked(s) : PORTICO_ENOTCONN;
  sim_flow *f = sim_flow_in(s);
  size_t    there = (size_t)(f->arrived - f->taken), len = sim_bufs_bytes(bufs, count);
  if (there == 0) {
    if (f->ended) return 0;
    if (s->error != 0) return sim_take_error_locked(s);
    return s->state == SIM_DEAD ? 0 : PORTICO_EAGAIN;
  }
  if (sim_says_again_locked(w, s)) return PORTICO_EAGAIN;
  size_t n = len < there ? len : there;
  if (n > 1 && sim_chance_locked(w, w->options.rates.split)) {
    n = 1 + (size_t)sim_below_locked(w, n - 1);
    sim_announce_later_locked(w, s); /* as if the rest came just now */
  }
  sim_flow_take(f, bufs, count, n);
  sim_event room = {.run = sim_on_room, .conn = s->conn, .side = 1 - s->side, .until = f->taken};
  s->conn->refs++;
  sim_happen_locked(w, &room, sim_now_locked(w) + sim_delay_locked(w), false);
  return (int64_t)n;
}

/* ---- sending ---- */

static void sim_flow_put(sim_flow *f, const os_buf *bufs, unsigned count, size_t len) {
  if (f->room - f->end < len) {
    if (f->end > f->begin) memmove(f->bytes, f->bytes + f->begin, f->end - f->begin);
    f->end -= f->begin;
    f->begin = 0;
    if (f->room < f->end + len) {
      f->room = 2 * (f->end + len) + SIM_FLOW_ROOM;
      f->bytes = realloc(f->bytes, f->room);
      CHECK(f->bytes != NULL);
    }
  }
  f->sent += len;
  for (unsigned i = 0; i < count && len > 0; i++) {
    size_t part = len < bufs[i].len ? len : bufs[i].len;
    if (part > 0) memcpy(f->bytes + f->end, bufs[i].data, part);
    f->end += part;
    len -= part;
  }
}

/* What was just sent, from byte `from` on, leaves in one piece or in several. */
static void sim_stream_deliver_locked(os_sim *w, sim_socket *s, uint64_t from) {
  uint64_t until = sim_flow_out(s)->sent;
  for (unsigned i = 1; i < SIM_PARTS_MAX && until - from > 1; i++) {
    if (!sim_chance_locked(w, w->options.rates.split)) break;
    from += 1 + sim_below_locked(w, until - from - 1);
    sim_conn_send_locked(w, s->conn, s->side, sim_on_bytes, from);
  }
  sim_conn_send_locked(w, s->conn, s->side, sim_on_bytes, until);
}

/* A cable is cut: both ends will find out. */
static void sim_stream_break_locked(os_sim *w, sim_socket *s) {
  sim_note_locked(w, s, "break", 0);
  sim_conn_reset_locked(w, s->conn, s->side);
  s->state = SIM_DEAD;
  s->error = PORTICO_ECONNRESET;
  sim_announce_locked(w, s);
}

int64_t sim_stream_send_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count) {
  if (s->state == SIM_CONNECTING) return PORTICO_EAGAIN;
  if (s->conn == NULL) return s->error != 0 ? sim_take_error_locked(s) : PORTICO_EPIPE;
  if (s->state == SIM_CONNECTED && sim_chance_locked(w, w->options.rates.reset)) sim_stream_break_locked(w, s);
  if (s->error != 0) return sim_take_error_locked(s);
  if (s->state == SIM_DEAD || s->shut) return PORTICO_EPIPE;
  sim_flow *f = sim_flow_out(s);
  size_t    len = sim_bufs_bytes(bufs, count), room = sim_flow_free(f), n = len < room ? len : room;
  if (n < len) s->no_room = true;
  if (room == 0) return PORTICO_EAGAIN;
  if (sim_says_again_locked(w, s)) return PORTICO_EAGAIN;
  if (n > 1 && sim_chance_locked(w, w->options.rates.short_send)) {
    n = 1 + (size_t)sim_below_locked(w, n - 1);
    sim_announce_later_locked(w, s);
  }
  sim_flow_put(f, bufs, count, n);
  if (n > 0) sim_stream_deliver_locked(w, s, f->sent - n);
  return (int64_t)n;
}

int sim_stream_shutdown_locked(os_sim *w, sim_socket *s) {
  if (s->state != SIM_CONNECTED) return PORTICO_ENOTCONN;
  if (s->shut) return 0;
  s->shut = true;
  sim_note_locked(w, s, "shut down", sim_flow_out(s)->sent);
  sim_conn_send_locked(w, s->conn, s->side, sim_on_end, 0);
  return 0;
}

/* With unread input the peer gets a reset: it must not believe that all it sent was read. */
void sim_stream_close_locked(os_sim *w, sim_socket *s) {
  sim_conn *c = s->conn;
  sim_flow *in = sim_flow_in(s);
  bool      live = s->state == SIM_CONNECTED;
  c->ends[s->side] = NULL;
  s->conn = NULL;
  if (live && (s->reset_on_close || in->arrived > in->taken)) sim_conn_reset_locked(w, c, s->side);
  else if (live && !s->shut) sim_conn_send_locked(w, c, s->side, sim_on_end, 0);
  sim_conn_unref(c);
}

/* ---- connecting ---- */

static sim_socket *sim_stream_listener_locked(os_sim *w, const os_addr *to) {
  sim_socket *found = NULL;
  unsigned    count = 0;
  for (unsigned i = 0; i < w->slot_count; i++) {
    sim_socket *s = w->slots[i].socket;
    if (s == NULL || s->type != OS_TCP || s->state != SIM_LISTENING || !sim_addr_same(&s->local, to)) continue;
    if (sim_below_locked(w, ++count) == 0) found = s; /* of those that share the address, any */
  }
  return found;
}

static void sim_stream_fail_locked(os_sim *w, sim_socket *s, int err) {
  s->state = SIM_DEAD;
  s->error = err;
  sim_note_locked(w, s, "connect fails", (uint64_t)-err);
  sim_announce_locked(w, s);
}

static void sim_stream_meet_locked(os_sim *w, sim_socket *s, sim_socket *listener) {
  sim_socket *other = sim_socket_make_locked(w, OS_TCP);
  other->bytes_max = listener->bytes_max;
  other->local = s->peer;
  other->peer = s->local;
  sim_conn_make(s, other);
  if (listener->first == NULL) listener->first = other;
  else listener->last->next = other;
  listener->last = other;
  listener->queued++;
  sim_note_locked(w, s, "connected", os_addr_port(&s->peer));
  sim_announce_locked(w, listener);
  sim_announce_locked(w, s);
}

static void sim_on_connect(os_sim *w, sim_event *e) {
  sim_socket *s = sim_find_locked(w, e->socket);
  if (s == NULL || s->state != SIM_CONNECTING) return;
  sim_socket *listener = sim_stream_listener_locked(w, &s->peer);
  if (listener == NULL || sim_chance_locked(w, w->options.rates.refuse)) {
    sim_stream_fail_locked(w, s, PORTICO_ECONNREFUSED);
  } else if (listener->queued < listener->backlog) {
    sim_stream_meet_locked(w, s, listener);
  } else if (e->until == SIM_RETRIES) {
    sim_stream_fail_locked(w, s, PORTICO_ETIMEDOUT);
  } else {
    sim_event again = {.run = sim_on_connect, .socket = e->socket, .until = e->until + 1};
    sim_happen_locked(w, &again, sim_now_locked(w) + (SIM_RETRY_NS << e->until), false);
  }
}

int sim_stream_connect_locked(os_sim *w, sim_socket *s, const os_addr *to) {
  if (s->state == SIM_CONNECTING) return PORTICO_EAGAIN;
  if (s->state == SIM_LISTENING || s->conn != NULL) return PORTICO_EISCONN;
  int err = sim_socket_bind_any_locked(w, s, to);
  if (err < 0) return err; /* uncovered: all 16384 ports are taken */
  s->peer = *to;
  s->error = 0;
  s->state = SIM_CONNECTING;
  sim_event e = {.run = sim_on_connect, .socket = s->number};
  sim_happen_locked(w, &e, sim_now_locked(w) + sim_delay_locked(w), false);
  if (s->state == SIM_CONNECTED) return 0;
  return s->state == SIM_DEAD ? sim_take_error_locked(s) : PORTICO_EAGAIN;
}

int sim_stream_accept_locked(os_sim *w, sim_socket *listener, sim_socket **out) {
  if (listener->state != SIM_LISTENING) return PORTICO_EINVAL;
  sim_socket *s = listener->first;
  if (s == NULL || sim_says_again_locked(w, listener)) return PORTICO_EAGAIN;
  int err = sim_socket_number_locked(w, s);
  if (err < 0) return err; /* it stays in the queue */
  listener->first = s->next;
  listener->queued--;
  s->next = NULL;
  *out = s;
  return 0;
}

void sim_stream_stop_locked(os_sim *w, sim_socket *listener) {
  while (listener->first != NULL) {
    sim_socket *s = listener->first;
    listener->first = s->next;
    s->reset_on_close = true;
    sim_socket_end_locked(w, s);
  }
  listener->queued = 0;
  listener->state = SIM_DEAD;
}
