/* sim_datagram.c - datagrams of a world: they may be lost, doubled and overtake each other. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/sim_world.h"

enum { SIM_DATAGRAM_MAX = 65507 };

struct sim_datagram {
  sim_datagram *next;
  os_addr       from;
  size_t        len;
  unsigned char bytes[];
};

void sim_datagram_forget(sim_datagram *d) {
  free(d);
}

void sim_datagram_close_locked(sim_socket *s) {
  while (s->in_first != NULL) {
    sim_datagram *d = s->in_first;
    s->in_first = d->next;
    free(d);
  }
}

/* ---- receiving ---- */

int64_t sim_datagram_recv_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count, os_addr *out_from,
                                 bool *out_cut) {
  if (s->error != 0) return sim_take_error_locked(s);
  sim_datagram *d = s->in_first;
  if (d == NULL || sim_says_again_locked(w, s)) return PORTICO_EAGAIN;
  size_t done = 0;
  for (unsigned i = 0; i < count && done < d->len; i++) {
    size_t part = d->len - done < bufs[i].len ? d->len - done : bufs[i].len;
    if (part > 0) memcpy(bufs[i].data, d->bytes + done, part);
    done += part;
  }
  *out_cut = done < d->len;
  if (out_from != NULL) *out_from = d->from;
  s->in_first = d->next;
  s->in_bytes -= d->len;
  free(d);
  return (int64_t)done;
}

static void sim_on_datagram(os_sim *w, sim_event *e) {
  sim_socket   *s = sim_find_locked(w, e->socket);
  sim_datagram *d = e->datagram;
  if (s != NULL) s->under_way--;
  bool known = s != NULL && (s->state != SIM_CONNECTED || sim_addr_same(&s->peer, &d->from));
  if (!known || s->in_bytes + d->len > s->bytes_max) { /* nobody is there, or no room: it is lost */
    sim_datagram_forget(d);
    return;
  }
  d->next = NULL;
  if (s->in_first == NULL) s->in_first = d;
  else s->in_last->next = d;
  s->in_last = d;
  s->in_bytes += d->len;
  sim_note_locked(w, s, "datagram arrives", d->len);
  sim_announce_locked(w, s);
}

/* ---- sending ---- */

static sim_socket *sim_datagram_target_locked(os_sim *w, const os_addr *to) {
  for (unsigned i = 0; i < w->slot_count; i++) {
    sim_socket *s = w->slots[i].socket;
    if (s != NULL && s->type == OS_UDP && sim_addr_same(&s->local, to)) return s;
  }
  return NULL;
}

static sim_datagram *sim_datagram_make(const sim_socket *from, const os_buf *bufs, unsigned count, size_t len) {
  sim_datagram *d = sim_new(sizeof *d + len);
  d->from = from->local;
  for (unsigned i = 0; i < count; i++) {
    if (bufs[i].len > 0) memcpy(d->bytes + d->len, bufs[i].data, bufs[i].len);
    d->len += bufs[i].len;
  }
  return d;
}

static void sim_datagram_post_locked(os_sim *w, sim_socket *target, sim_datagram *d) {
  sim_event e = {.run = sim_on_datagram, .socket = target->number, .datagram = d};
  int64_t   due = sim_now_locked(w) + sim_delay_locked(w);
  bool      overtakes = sim_chance_locked(w, w->options.rates.reorder);
  bool      in_line = target->under_way > 0 && !overtakes;
  if (in_line && due < target->arrives_ns) due = target->arrives_ns;
  if (!overtakes) target->arrives_ns = due;
  target->under_way++;
  sim_happen_locked(w, &e, due, in_line);
}

int64_t sim_datagram_send_locked(os_sim *w, sim_socket *s, const os_buf *bufs, unsigned count, const os_addr *to) {
  const os_sim_rates *rates = &w->options.rates;
  size_t              len = 0;
  if (s->error != 0) return sim_take_error_locked(s);
  if (to == NULL && s->peer.len == 0) return PORTICO_EINVAL;
  if (to == NULL) to = &s->peer;
  for (unsigned i = 0; i < count; i++) len += bufs[i].len;
  if (len > SIM_DATAGRAM_MAX) return PORTICO_EMSGSIZE;
  if (sim_chance_locked(w, rates->buffers)) return PORTICO_ENOBUFS;
  if (sim_says_again_locked(w, s)) return PORTICO_EAGAIN;
  int err = sim_socket_bind_any_locked(w, s, to);
  if (err < 0) return err; /* uncovered: all 16384 ports are taken */
  sim_socket *target = sim_datagram_target_locked(w, to);
  if (target == NULL) {
    if (s->state == SIM_CONNECTED) s->error = PORTICO_ECONNREFUSED, sim_announce_later_locked(w, s);
    return (int64_t)len;
  }
  unsigned copies = sim_chance_locked(w, rates->drop) ? 0 : sim_chance_locked(w, rates->duplicate) ? 2 : 1;
  for (; copies > 0; copies--) sim_datagram_post_locked(w, target, sim_datagram_make(s, bufs, count, len));
  return (int64_t)len;
}
