/* sim_world.c - a world: who is in it, its generator, its time, and what is to happen there. */
#include "os/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/sim_world.h"

enum { SIM_LINE_BYTES = 160, SIM_START_NS = OS_NS_PER_S };

_Thread_local os_sim *sim_here, *sim_virtual_here;

/* ---- the generator: xoshiro256** by Blackman and Vigna, seeded by splitmix64 as they say ---- */

static uint64_t sim_rotl(uint64_t x, int by) {
  return x << by | x >> (64 - by);
}

static void sim_seed(os_sim *w, uint64_t seed) {
  for (unsigned i = 0; i < 4; i++) {
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    w->random[i] = z ^ z >> 31;
  }
}

static uint64_t sim_next_locked(os_sim *w) {
  uint64_t *s = w->random;
  uint64_t  result = sim_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = sim_rotl(s[3], 45);
  return result;
}

/* The small bias of a remainder is of no interest here. */
uint64_t sim_below_locked(os_sim *w, uint64_t n) {
  return sim_next_locked(w) % n;
}

bool sim_chance_locked(os_sim *w, uint32_t rate) {
  return rate > 0 && sim_below_locked(w, OS_SIM_ALWAYS) < rate;
}

int64_t sim_delay_locked(os_sim *w) {
  if (!sim_chance_locked(w, w->options.rates.delay)) return 0;
  return 1 + (int64_t)sim_below_locked(w, (uint64_t)w->options.delay_ns_max);
}

uint64_t os_sim_random(os_sim *w, uint64_t n) {
  sim_lock(w);
  uint64_t result = sim_below_locked(w, n);
  sim_unlock(w);
  return result;
}

/* ---- life ---- */

void *sim_new(size_t bytes) {
  void *memory = calloc(1, bytes);
  CHECK(memory != NULL);
  return memory;
}

int os_sim_open(const os_sim_options *options, os_sim **out_world) {
  os_sim *w = calloc(1, sizeof *w);
  if (w == NULL) return PORTICO_ENOMEM;
  w->options = *options;
  if (w->options.sockets_max == 0) w->options.sockets_max = 1024;
  if (w->options.buffer_bytes == 0) w->options.buffer_bytes = 64 * 1024;
  if (w->options.delay_ns_max == 0) w->options.delay_ns_max = OS_NS_PER_MS;
  w->now_ns = SIM_START_NS;
  w->stats.trace_hash = 0xcbf29ce484222325;
  sim_seed(w, options->seed);
  os_mutex_init(&w->lock);
  atomic_init(&w->refs, 1);
  *out_world = w;
  return 0;
}

void os_sim_close(os_sim *w) {
  sim_unref(w);
}

void sim_ref(os_sim *w) {
  atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
}

/* Nothing is left of what was on its way: sockets that were not closed go first, then the events. */
void sim_unref(os_sim *w) {
  if (atomic_fetch_sub_explicit(&w->refs, 1, memory_order_acq_rel) > 1) return;
  sim_lock(w);
  for (unsigned i = 0; i < w->slot_count; i++) {
    if (w->slots[i].socket != NULL) sim_socket_end_locked(w, w->slots[i].socket);
  }
  for (heap_node *n = heap_first(&w->events); n != NULL; n = heap_first(&w->events)) {
    sim_event *e = container_of(n, sim_event, due);
    heap_remove(&w->events, n);
    e->run(w, e);
    free(e);
  }
  sim_unlock(w);
  heap_fini(&w->events);
  free(w->slots);
  os_mutex_fini(&w->lock);
  free(w);
}

void os_sim_set_rates(os_sim *w, const os_sim_rates *rates) {
  sim_lock(w);
  w->options.rates = *rates;
  sim_unlock(w);
}

void os_sim_set_trace(os_sim *w, void (*on_trace)(const char *line, void *arg), void *arg) {
  sim_lock(w);
  w->options.on_trace = on_trace;
  w->options.trace_arg = arg;
  sim_unlock(w);
}

os_sim *os_sim_here(void) {
  return sim_here;
}

void os_sim_enter(os_sim *w) {
  if (sim_here != NULL) os_sim_leave();
  sim_ref(w);
  sim_here = w;
  if (w->options.clock != OS_SIM_VIRTUAL) return;
  sim_virtual_here = w;
  sim_thread_enter(w);
}

void os_sim_leave(void) {
  if (sim_here == NULL) return;
  if (sim_virtual_here != NULL) sim_thread_leave(sim_here);
  sim_unref(sim_here);
  sim_here = sim_virtual_here = NULL;
}

void os_sim_get_stats(os_sim *w, os_sim_stats *out_stats) {
  sim_lock(w);
  *out_stats = w->stats;
  out_stats->sockets = w->sockets;
  out_stats->under_way = w->events.count;
  heap_node *first = heap_first(&w->events);
  out_stats->next_ns = first == NULL ? INT64_MAX : first->due;
  sim_unlock(w);
}

/* ---- time ---- */

int64_t sim_now_locked(const os_sim *w) {
  return w->options.clock == OS_SIM_VIRTUAL ? w->now_ns : os_clock_now();
}

int64_t sim_clock_now(void) {
  os_sim *w = sim_virtual_here;
  sim_lock(w);
  sim_preempt_locked(w);
  w->now_ns += SIM_TICK_NS;
  if (sim_chance_locked(w, w->options.rates.stall)) {
    w->now_ns += (int64_t)sim_below_locked(w, (uint64_t)w->options.delay_ns_max);
    sim_note_locked(w, NULL, "stall", 0);
  }
  int64_t now = w->now_ns;
  sim_unlock(w);
  return now;
}

/* ---- what happens ---- */

void sim_run_due_locked(os_sim *w) {
  heap_node *first = heap_first(&w->events);
  if (first == NULL) return;
  int64_t now = sim_now_locked(w);
  for (; first != NULL && first->due <= now; first = heap_first(&w->events)) {
    sim_event *e = container_of(first, sim_event, due);
    heap_remove(&w->events, first);
    e->run(w, e);
    free(e);
  }
}

void sim_happen_locked(os_sim *w, const sim_event *e, int64_t due_ns, bool in_line) {
  if (due_ns <= sim_now_locked(w) && !in_line) {
    sim_event now = *e;
    now.run(w, &now);
    return;
  }
  sim_event *later = sim_new(sizeof *later);
  *later = *e;
  CHECK(heap_insert(&w->events, &later->due, due_ns) == 0);
  for (sim_sleeper *s = w->sleepers; s != NULL; s = s->next) {
    if (s->until_ns > due_ns) os_event_set(&s->event);
  }
}

void sim_begin_call_locked(os_sim *w) {
  sim_preempt_locked(w);
  w->now_ns += SIM_CALL_NS;
  sim_run_due_locked(w);
}

os_sim *sim_enter_locked(void) {
  os_sim *w = sim_here;
  if (w == NULL) return NULL;
  sim_lock(w);
  sim_begin_call_locked(w);
  return w;
}

static void sim_sleeper_remove_locked(os_sim *w, sim_sleeper *s) {
  sim_sleeper **at = &w->sleepers;
  while (*at != s) at = &(*at)->next;
  *at = s->next;
}

void sim_sleep_locked(os_sim *w, sim_sleeper *s, const void *on, int64_t until_ns) {
  if (w->options.clock == OS_SIM_VIRTUAL) {
    sim_thread_wait_locked(w, on, until_ns);
    return;
  }
  heap_node *first = heap_first(&w->events);
  if (first != NULL && first->due < until_ns) until_ns = first->due;
  int64_t left = until_ns == INT64_MAX ? -1 : until_ns - sim_now_locked(w);
  s->on = on;
  s->until_ns = until_ns;
  s->next = w->sleepers;
  w->sleepers = s;
  sim_unlock(w);
  os_event_wait(&s->event, until_ns == INT64_MAX || left > 0 ? left : 0);
  sim_lock(w);
  sim_sleeper_remove_locked(w, s);
  sim_run_due_locked(w);
}

void sim_wake_locked(os_sim *w, const void *on) {
  sim_thread_wake_locked(w, on);
  for (sim_sleeper *s = w->sleepers; s != NULL; s = s->next) {
    if (s->on == on) os_event_set(&s->event);
  }
}

/* ---- the trace ---- */

static void sim_hash_locked(os_sim *w, uint64_t value) {
  w->stats.trace_hash = (w->stats.trace_hash ^ value) * 0x100000001b3;
}

void sim_note_locked(os_sim *w, const sim_socket *s, const char *what, uint64_t amount) {
  int64_t  now = w->options.clock == OS_SIM_VIRTUAL ? w->now_ns : 0; /* real time never comes again */
  unsigned number = s == NULL || s->number == OS_SOCKET_NONE ? 0 : (unsigned)s->number - SIM_SOCKET_FIRST + 1;
  w->stats.happened++;
  sim_hash_locked(w, (uint64_t)now);
  sim_hash_locked(w, number);
  sim_hash_locked(w, amount);
  for (const char *c = what; *c != '\0'; c++) sim_hash_locked(w, (unsigned char)*c);
  if (w->options.on_trace == NULL) return;
  char line[SIM_LINE_BYTES];
  snprintf(line, sizeof line, "%" PRId64 ".%09" PRId64 " s%u %s %" PRIu64, now / OS_NS_PER_S, now % OS_NS_PER_S, number,
           what, amount);
  w->options.on_trace(line, w->options.trace_arg);
}
