/* ticks.c - timers, none of which may be early, and posts, which must come in order. */
#include <stdlib.h>

#include "run.h"

enum { TICKS_TIMERS = 4, TICKS_STARTS = 20 };
static const int64_t ticks_late_ns = 300 * OS_NS_PER_MS; /* at most: a handler that blocks is noticed by then */

typedef struct tick {
  watched op; /* first */
  int64_t due_ns;
} tick;

struct ticks {
  run     *r;
  tick     timers[TICKS_TIMERS];
  unsigned starts;        /* of timers and posts */
  uint32_t posted, taken; /* posts */
  uint64_t sum;           /* of the numbers of those that were taken */
};

char ticks_post_key;

ticks *ticks_open(run *r) {
  ticks *t = calloc(1, sizeof *t);
  EXPECT(r, t != NULL);
  t->r = r;
  return t;
}

static void tick_on_end(run *r, watched *w, const port_packet *packet) {
  tick *t = (tick *)w;
  EXPECT(r, packet->bytes == 0);
  EXPECT(r, packet->err == (w->cancelled ? PORTICO_ECANCELED : 0));
  if (packet->err != 0) return;
  int64_t late_ns = os_clock_now() - t->due_ns;
  EXPECT(r, late_ns >= 0);
  EXPECT(r, r->workers == 0 || late_ns < ticks_late_ns); /* without them the driver may have paused */
}

void ticks_on_post(ticks *t, const port_packet *packet) {
  EXPECT(t->r, packet->op == (void *)(uintptr_t)packet->bytes && packet->err == 0);
  EXPECT(t->r, packet->bytes < t->posted);
  if (t->r->workers == 0) EXPECT(t->r, packet->bytes == t->taken); /* workers overtake each other on the way here */
  t->taken++;
  t->sum += packet->bytes;
}

static void ticks_post(ticks *t) {
  EXPECT(t->r, port_post(t->r->p, &ticks_post_key, (void *)(uintptr_t)t->posted, t->posted) == 0);
  t->posted++;
  t->r->pending++;
}

void ticks_step(ticks *t) {
  run  *r = t->r;
  tick *k = &t->timers[run_random(r, TICKS_TIMERS)];
  if (k->op.pending) {
    if (run_chance(r, 5)) run_cancel(r, &k->op);
  } else if (t->starts < TICKS_STARTS && run_chance(r, 20)) {
    t->starts++;
    int64_t longest_ns = run_chance(r, 80) ? 3 * OS_NS_PER_MS : 3LL * OS_NS_PER_S;
    k->due_ns = os_clock_now() + (int64_t)run_random(r, longest_ns) - OS_NS_PER_MS / 2; /* some are due already */
    run_starting(&k->op, "timer", 0, k, tick_on_end);
    run_started(r, &k->op, port_timer(r->p, &k->op.op, k, k->due_ns));
  }
  if (t->starts < TICKS_STARTS && run_chance(r, 20)) {
    t->starts++;
    for (uint64_t n = 1 + run_random(r, 100); n > 0; n--) ticks_post(t); /* more than one block of them */
  }
}

void ticks_close(ticks *t) {
  EXPECT(t->r, t->posted == t->taken);
  EXPECT(t->r, t->sum == (uint64_t)t->posted * (t->posted - 1) / 2); /* each of them once */
  free(t);
}
