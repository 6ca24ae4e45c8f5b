/* sim_poller.c - poller.h in a world: the announcements of its sockets, each looked at again when it is fetched. */
#include <stdlib.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/sim_world.h"

int sim_poller_open(os_sim_poller **out) {
  os_sim *w = sim_enter_locked();
  bool    failed = sim_chance_locked(w, w->options.rates.memory);
  sim_unlock(w);
  os_sim_poller *p = failed ? NULL : calloc(1, sizeof *p);
  if (p == NULL) return PORTICO_ENOMEM;
  int err = os_event_init(&p->sleeper.event);
  if (err < 0) { /* uncovered: an event of this system needs nothing */
    free(p);
    return err;
  }
  p->world = w;
  sim_ref(w);
  *out = p;
  return 0;
}

/* Who closes it may be in no world any more. */
void sim_poller_close(os_sim_poller *p) {
  os_sim *w = p->world;
  sim_lock(w);
  for (unsigned i = 0; i < w->slot_count; i++) {
    sim_socket *s = w->slots[i].socket;
    if (s != NULL && s->poller == p) s->poller = NULL, s->announced = false;
  }
  sim_unlock(w);
  os_event_fini(&p->sleeper.event);
  free(p);
  sim_unref(w);
}

/* ---- sockets ---- */

int sim_poller_add(os_sim_poller *p, os_socket number, void *owner) {
  os_sim *w = p->world;
  int     err = 0;
  sim_lock(w);
  sim_preempt_locked(w);
  sim_socket *s = sim_find_locked(w, number);
  if (s == NULL || s->poller != NULL) err = PORTICO_EINVAL; /* one poller for each is enough here */
  else if (sim_chance_locked(w, w->options.rates.memory)) err = PORTICO_ENOMEM;
  if (err == 0) {
    s->poller = p;
    s->owner = owner;
    sim_announce_locked(w, s);
  }
  sim_unlock(w);
  return err;
}

int sim_poller_again(os_sim_poller *p, os_socket number, void *owner) {
  os_sim *w = p->world;
  sim_lock(w);
  sim_preempt_locked(w);
  sim_socket *s = sim_find_locked(w, number);
  bool        known = s != NULL && s->poller == p;
  if (known) {
    s->owner = owner;
    sim_announce_locked(w, s);
  }
  sim_unlock(w);
  return known ? 0 : PORTICO_EINVAL;
}

/* Takes s, which comes after `before`, off the list. */
static void sim_poller_unlist_locked(os_sim_poller *p, sim_socket *s, sim_socket *before) {
  if (before == NULL) p->first = s->announced_next;
  else before->announced_next = s->announced_next;
  if (p->last == s) p->last = before;
  s->announced = false;
}

void sim_poller_forget_locked(sim_socket *s) {
  sim_socket *before = NULL;
  if (s->announced) {
    for (sim_socket *at = s->poller->first; at != s; at = at->announced_next) before = at;
    sim_poller_unlist_locked(s->poller, s, before);
  }
  s->poller = NULL;
}

void sim_poller_remove(os_sim_poller *p, os_socket number) {
  os_sim *w = p->world;
  sim_lock(w);
  sim_socket *s = sim_find_locked(w, number);
  if (s != NULL && s->poller == p) sim_poller_forget_locked(s);
  sim_unlock(w);
}

/* ---- waiting ---- */

/* Takes the first announcement, or any. result: NULL = there is none */
static sim_socket *sim_poller_pick_locked(os_sim *w, os_sim_poller *p) {
  sim_socket *s = p->first, *before = NULL;
  if (s == NULL) return NULL;
  if (sim_chance_locked(w, w->options.rates.shuffle)) {
    size_t count = 0;
    for (sim_socket *at = p->first; at != NULL; at = at->announced_next) count++;
    for (uint64_t skip = sim_below_locked(w, count); skip > 0; skip--) before = s, s = s->announced_next;
  }
  sim_poller_unlist_locked(p, s, before);
  return s;
}

/* An event without a reason, for whatever socket of p the generator names. */
static int sim_poller_invent_locked(os_sim *w, os_sim_poller *p, os_poll_event *out_event) {
  if (w->slot_count == 0 || !sim_chance_locked(w, w->options.rates.spurious)) return 0;
  sim_socket *s = w->slots[sim_below_locked(w, w->slot_count)].socket;
  if (s == NULL || s->poller != p) return 0;
  static const uint32_t bits[] = {OS_POLL_IN, OS_POLL_OUT, OS_POLL_IN | OS_POLL_OUT};
  *out_event = (os_poll_event){.what = bits[sim_below_locked(w, 3)], .owner = s->owner};
  sim_note_locked(w, s, "spurious", out_event->what);
  return 1;
}

static int sim_poller_fetch_locked(os_sim *w, os_sim_poller *p, os_poll_event *out_events, unsigned max) {
  if (p->first != NULL && sim_chance_locked(w, w->options.rates.shuffle)) max = 1 + (unsigned)sim_below_locked(w, max);
  int n = sim_poller_invent_locked(w, p, out_events);
  while ((unsigned)n < max) {
    sim_socket *s = sim_poller_pick_locked(w, p);
    if (s == NULL) break;
    uint32_t what = sim_look_locked(w, s);
    if (what == 0) continue; /* it is over already */
    sim_note_locked(w, s, "event", what);
    out_events[n++] = (os_poll_event){.what = what, .owner = s->owner};
  }
  return n;
}

int sim_poller_wait(os_sim_poller *p, os_poll_event *out_events, unsigned max, int64_t until_ns) {
  os_sim *w = p->world;
  sim_lock(w);
  sim_begin_call_locked(w);
  int n;
  for (;;) {
    n = sim_poller_fetch_locked(w, p, out_events, max);
    if (n > 0 || p->woken || until_ns == 0 || sim_now_locked(w) >= until_ns) break;
    sim_sleep_locked(w, &p->sleeper, p, until_ns);
  }
  p->woken = false;
  sim_unlock(w);
  return n;
}

void sim_poller_wake(os_sim_poller *p) {
  os_sim *w = p->world;
  sim_lock(w);
  p->woken = true;
  sim_wake_locked(w, p);
  sim_unlock(w);
}
