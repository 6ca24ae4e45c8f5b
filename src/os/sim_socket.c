/* sim_socket.c - the sockets of a world: numbers, names, options, what holds of each, and waiting for one. */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/sim_world.h"

enum {
  SIM_SLOT_BITS = 20, /* of a number, below those of the generation: numbers come back late */
  SIM_SLOTS_MAX = 1 << SIM_SLOT_BITS,
  SIM_GENERATIONS = 1 << (30 - SIM_SLOT_BITS),
  SIM_PORT_FIRST = 49152,
  SIM_PORTS = 65536 - SIM_PORT_FIRST,
};

/* ---- numbers ---- */

sim_socket *sim_find_locked(os_sim *w, os_socket number) {
  unsigned slot = (unsigned)number % SIM_SLOTS_MAX;
  if (slot < w->slot_count && w->slots[slot].socket != NULL && w->slots[slot].socket->number == number) {
    return w->slots[slot].socket;
  }
  return NULL;
}

/* The socket that a caller named, in its world, which is locked. result: NULL and nothing locked if there is none */
static sim_socket *sim_socket_enter(os_socket number, os_sim **out_world) {
  os_sim *w = sim_enter_locked();
  if (w == NULL) return NULL;
  sim_socket *s = sim_find_locked(w, number);
  if (s == NULL) {
    w->stats.stale_calls++;
    sim_unlock(w);
    return NULL;
  }
  *out_world = w;
  return s;
}

static int64_t sim_socket_leave(os_sim *w, int64_t result) {
  sim_unlock(w);
  return result;
}

static int sim_slot_take_locked(os_sim *w, unsigned *out_slot) {
  if (w->free_slot == 0) {
    if (w->slot_count == SIM_SLOTS_MAX) return PORTICO_EMFILE; /* uncovered: a million sockets */
    w->slots = realloc(w->slots, (w->slot_count + 1) * sizeof *w->slots);
    CHECK(w->slots != NULL); /* as sim_new */
    w->slots[w->slot_count] = (sim_slot){0};
    w->free_slot = ++w->slot_count;
  }
  *out_slot = w->free_slot - 1;
  w->free_slot = w->slots[*out_slot].next_free;
  return 0;
}

int sim_socket_number_locked(os_sim *w, sim_socket *s) {
  const os_sim_rates *rates = &w->options.rates;
  unsigned            slot;
  if (w->sockets >= w->options.sockets_max || sim_chance_locked(w, rates->descriptors)) return PORTICO_EMFILE;
  if (sim_chance_locked(w, rates->buffers)) return PORTICO_ENOBUFS;
  if (sim_chance_locked(w, rates->memory)) return PORTICO_ENOMEM;
  int err = sim_slot_take_locked(w, &slot);
  if (err < 0) return err; /* uncovered: a million sockets */
  unsigned generation = w->slots[slot].generation++ % SIM_GENERATIONS;
  w->slots[slot].socket = s;
  s->number = (os_socket)(SIM_SOCKET_FIRST + (generation << SIM_SLOT_BITS) + slot);
  w->sockets++;
  return 0;
}

/* ---- life ---- */

sim_socket *sim_socket_make_locked(os_sim *w, os_socket_type type) {
  sim_socket *s = sim_new(sizeof *s);
  s->number = OS_SOCKET_NONE;
  s->type = type;
  s->bytes_max = w->options.buffer_bytes;
  return s;
}

int sim_socket_open(os_socket_type type, os_socket *out) {
  os_sim     *w = sim_enter_locked();
  sim_socket *s = sim_socket_make_locked(w, type);
  int         err = sim_socket_number_locked(w, s);
  sim_note_locked(w, s, "open", (uint64_t)-err);
  if (err == 0) *out = s->number;
  sim_unlock(w);
  if (err < 0) free(s);
  return err;
}

void sim_socket_end_locked(os_sim *w, sim_socket *s) {
  sim_note_locked(w, s, "close", 0);
  sim_poller_forget_locked(s);
  if (s->type == OS_UDP) sim_datagram_close_locked(s);
  else if (s->state == SIM_LISTENING) sim_stream_stop_locked(w, s);
  else if (s->conn != NULL) sim_stream_close_locked(w, s);
  if (s->number != OS_SOCKET_NONE) {
    unsigned slot = (unsigned)s->number % SIM_SLOTS_MAX;
    w->slots[slot].socket = NULL;
    w->slots[slot].next_free = w->free_slot;
    w->free_slot = slot + 1;
    w->sockets--;
  }
  sim_wake_locked(w, s);
  free(s);
}

void sim_socket_close(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return;
  sim_socket_end_locked(w, s);
  sim_unlock(w);
}

/* ---- names ---- */

static bool sim_socket_name_taken_locked(const os_sim *w, const sim_socket *s, const os_addr *at) {
  for (unsigned i = 0; i < w->slot_count; i++) {
    const sim_socket *other = w->slots[i].socket;
    if (other == NULL || other == s || other->type != s->type || !sim_addr_same(&other->local, at)) continue;
    /* Connections have the name of their listener; and who forgives TIME_WAIT forgives them. */
    if (other->type == OS_TCP && other->state != SIM_LISTENING && other->state != SIM_FRESH) continue;
    if (!other->shares || !s->shares) return true;
  }
  return false;
}

int sim_socket_bind_any_locked(os_sim *w, sim_socket *s, const os_addr *like) {
  if (s->local.len > 0) return 0;
  for (unsigned tries = 0;; tries++) {
    if (tries == SIM_PORTS) return PORTICO_EADDRINUSE; /* uncovered: all 16384 ports are taken */
    uint16_t number = (uint16_t)(SIM_PORT_FIRST + w->last_port++ % SIM_PORTS);
    os_addr  at = sim_addr_loopback(like, number);
    if (sim_socket_name_taken_locked(w, s, &at)) continue;
    s->local = at;
    return 0;
  }
}

static int sim_socket_bind_locked(os_sim *w, sim_socket *s, const os_addr *at) {
  if (s->local.len > 0) return PORTICO_EINVAL;
  if (os_addr_port(at) != 0) {
    if (sim_socket_name_taken_locked(w, s, at)) return PORTICO_EADDRINUSE;
    s->local = *at;
    return 0;
  }
  int err = sim_socket_bind_any_locked(w, s, at);
  if (err < 0) return err; /* uncovered: all 16384 ports are taken */
  uint16_t number = os_addr_port(&s->local);
  s->local = *at; /* with the host that was asked for */
  sim_addr_set_port(&s->local, number);
  return 0;
}

int sim_socket_bind(os_socket number, const os_addr *at) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  return (int)sim_socket_leave(w, sim_socket_bind_locked(w, s, at));
}

int sim_socket_listen(os_socket number, int backlog) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  os_addr none = {0};
  int     err = s->type == OS_TCP && (s->state == SIM_FRESH || s->state == SIM_LISTENING) ? 0 : PORTICO_EINVAL;
  if (err == 0) err = sim_socket_bind_any_locked(w, s, &none);
  if (err == 0) {
    s->state = SIM_LISTENING;
    s->backlog = backlog < 1 ? 1 : (unsigned)backlog;
    sim_note_locked(w, s, "listen", os_addr_port(&s->local));
  }
  return (int)sim_socket_leave(w, err);
}

void sim_socket_stop_listening(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return;
  if (s->state == SIM_LISTENING) sim_stream_stop_locked(w, s);
  sim_unlock(w);
}

int sim_socket_local(os_socket number, os_addr *out) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  *out = s->local;
  return (int)sim_socket_leave(w, 0);
}

int sim_socket_peer(os_socket number, os_addr *out) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  bool connected = s->state == SIM_CONNECTED;
  if (connected) *out = s->peer;
  return (int)sim_socket_leave(w, connected ? 0 : PORTICO_ENOTCONN);
}

bool sim_socket_was_connected(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  return s != NULL && sim_socket_leave(w, s->conn != NULL);
}

/* ---- options ---- */

int sim_socket_share_address(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  s->shares = true;
  return (int)sim_socket_leave(w, 0);
}

/* Every byte leaves at once here. */
int sim_socket_set_nodelay(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  return s == NULL ? PORTICO_EINVAL : (int)sim_socket_leave(w, 0);
}

int sim_socket_set_buffers(os_socket number, int send_bytes) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  if (send_bytes > 0) s->bytes_max = (size_t)send_bytes;
  if (s->conn != NULL) sim_stream_limit_locked(s);
  return (int)sim_socket_leave(w, 0);
}

int sim_socket_set_reset_on_close(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  s->reset_on_close = true;
  return (int)sim_socket_leave(w, 0);
}

int sim_take_error_locked(sim_socket *s) {
  int err = s->error;
  s->error = 0;
  return err;
}

int sim_socket_take_error(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  return s == NULL ? PORTICO_EINVAL : (int)sim_socket_leave(w, sim_take_error_locked(s));
}

/* ---- what holds, and telling ---- */

uint32_t sim_look_locked(os_sim *w, sim_socket *s) {
  if (s->type == OS_TCP) return sim_stream_look_locked(w, s);
  return OS_POLL_OUT | (s->in_first != NULL ? OS_POLL_IN : 0) | (s->error != 0 ? OS_POLL_ERR : 0);
}

void sim_announce_locked(os_sim *w, sim_socket *s) {
  sim_wake_locked(w, s);
  os_sim_poller *p = s->poller;
  if (p == NULL) return;
  if (!s->announced) {
    s->announced = true;
    s->announced_next = NULL;
    if (p->first == NULL) p->first = s;
    else p->last->announced_next = s;
    p->last = s;
  }
  sim_wake_locked(w, p);
}

static void sim_on_poke(os_sim *w, sim_event *e) {
  sim_socket *s = sim_find_locked(w, e->socket);
  if (s != NULL) sim_announce_locked(w, s);
}

void sim_announce_later_locked(os_sim *w, sim_socket *s) {
  sim_event poke = {.run = sim_on_poke, .socket = s->number};
  sim_happen_locked(w, &poke, sim_now_locked(w) + sim_delay_locked(w), false);
}

bool sim_says_again_locked(os_sim *w, sim_socket *s) {
  if (!sim_chance_locked(w, w->options.rates.again)) return false;
  sim_note_locked(w, s, "again", 0);
  sim_announce_later_locked(w, s);
  return true;
}

/* ---- moving bytes ---- */

int64_t sim_socket_recv(os_socket number, const os_buf *bufs, unsigned count, os_addr *out_from, bool *out_cut) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  *out_cut = false;
  int64_t n = s->type == OS_UDP ? sim_datagram_recv_locked(w, s, bufs, count, out_from, out_cut)
                                : sim_stream_recv_locked(w, s, bufs, count);
  if (n != PORTICO_EAGAIN) sim_note_locked(w, s, "receive", (uint64_t)n);
  return sim_socket_leave(w, n);
}

int64_t sim_socket_send(os_socket number, const os_buf *bufs, unsigned count, const os_addr *to) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  int64_t n = s->type == OS_UDP ? sim_datagram_send_locked(w, s, bufs, count, to)
                                : sim_stream_send_locked(w, s, bufs, count);
  if (n != PORTICO_EAGAIN) sim_note_locked(w, s, "send", (uint64_t)n);
  return sim_socket_leave(w, n);
}

int sim_socket_shutdown_send(os_socket number) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  return (int)sim_socket_leave(w, s->type == OS_UDP ? 0 : sim_stream_shutdown_locked(w, s));
}

static int sim_datagram_connect_locked(os_sim *w, sim_socket *s, const os_addr *to) {
  int err = sim_socket_bind_any_locked(w, s, to);
  if (err < 0) return err; /* uncovered: all 16384 ports are taken */
  s->peer = *to;
  s->state = SIM_CONNECTED;
  return 0;
}

int sim_socket_connect(os_socket number, const os_addr *to) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  int err = s->type == OS_UDP ? sim_datagram_connect_locked(w, s, to) : sim_stream_connect_locked(w, s, to);
  return (int)sim_socket_leave(w, err);
}

int sim_socket_accept(os_socket number, os_socket *out, os_addr *out_peer) {
  os_sim     *w;
  sim_socket *listener = sim_socket_enter(number, &w), *s = NULL;
  if (listener == NULL) return PORTICO_EINVAL;
  int err = sim_stream_accept_locked(w, listener, &s);
  if (err != PORTICO_EAGAIN) sim_note_locked(w, s, "accept", (uint64_t)-err);
  if (err == 0) {
    *out = s->number;
    if (out_peer != NULL) *out_peer = s->peer;
  }
  return (int)sim_socket_leave(w, err);
}

/* ---- waiting ---- */

static int sim_socket_bits(uint32_t look, int events) {
  const uint32_t broken = OS_POLL_ERR | OS_POLL_HUP;
  if ((look & broken) != 0) return OS_READABLE | OS_WRITABLE;
  int bits = (look & (OS_POLL_IN | OS_POLL_END)) != 0 ? OS_READABLE : 0;
  if ((look & OS_POLL_OUT) != 0) bits |= OS_WRITABLE;
  return bits & events;
}

int sim_socket_wait(os_socket number, int events, int64_t timeout_ns) {
  os_sim     *w;
  sim_socket *s = sim_socket_enter(number, &w);
  if (s == NULL) return PORTICO_EINVAL;
  sim_sleeper sleeper = {0};
  int64_t     now = sim_now_locked(w);
  int64_t     until_ns = timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
  int         result = os_event_init(&sleeper.event);
  while (result == 0) {
    result = s == NULL ? PORTICO_EINVAL : sim_socket_bits(sim_look_locked(w, s), events);
    if (result != 0) break;
    if (sim_now_locked(w) >= until_ns) {
      result = PORTICO_ETIMEDOUT;
    } else {
      sim_sleep_locked(w, &sleeper, s, until_ns);
      s = sim_find_locked(w, number);
    }
  }
  os_event_fini(&sleeper.event);
  return (int)sim_socket_leave(w, result);
}
