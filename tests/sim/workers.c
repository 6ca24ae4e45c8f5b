/* workers.c - threads of the world that take packets, as the workers of a host do. Which of them runs is for the
 * world's generator to say; that not more of them run than the port lets is what is checked. */
#include <stdlib.h>

#include "run.h"

enum { WORKER_PACKETS = 4 };

typedef struct worker {
  workers  *all;
  os_thread thread;
  bool      left; /* has ended, and the port has not */
} worker;

struct workers {
  run     *r;
  bool     patient; /* all of them wait for ever: what nobody tells them of they do not find */
  unsigned inside;  /* handle packets, and are in no bracket */
  os_event *left;   /* set when one has left */
  unsigned excess;  /* of those, who came back from one: nobody was asked to leave for them */
  worker   each[];
};

static workers           *workers_here;    /* of the run: there is one at a time */
static _Thread_local bool worker_came_back; /* from a bracket, in this handler */

/* Nobody else has a turn before this is counted. The monitor may take a worker for blocked that waits for the lock, and
 * let another one in: then nothing can be said. */
static void worker_begin(workers *all) {
  all->inside++;
  EXPECT(all->r, all->r->monitor || all->inside - all->excess <= all->r->concurrency);
}

static void worker_end(workers *all) {
  all->inside--;
  all->excess -= worker_came_back;
  worker_came_back = false;
}

bool worker_wait(run *r, os_event *e, bool bracket, int64_t timeout_ns) {
  os_mutex_unlock(&r->lock);
  if (bracket) {
    worker_end(workers_here);
    port_block_enter();
  }
  bool set = os_event_wait(e, timeout_ns);
  if (bracket) {
    port_block_leave();
    worker_came_back = true;
    workers_here->inside++;
    workers_here->excess++;
  }
  os_mutex_lock(&r->lock);
  return set;
}

/* result   false at the end of the port */
static bool worker_take(workers *all) {
  run        *r = all->r;
  port_packet packets[WORKER_PACKETS];
  unsigned    max = r->parts.blocks != NULL ? 1 : WORKER_PACKETS; /* who blocks must not keep others waiting */
  bool        for_ever = all->patient || run_chance(r, 70);
  int64_t     timeout_ns = for_ever ? PORT_WAIT_FOREVER : (int64_t)run_random(r, 5 * OS_NS_PER_MS);
  int         n = (run_chance(r, 50) ? port_get_run : port_get)(r->p, packets, max, timeout_ns);
  EXPECT(r, n >= 1 || n == PORTICO_ECLOSED || (n == PORTICO_ETIMEDOUT && timeout_ns >= 0));
  if (n < 0) return n != PORTICO_ECLOSED;
  worker_begin(all);
  os_mutex_lock(&r->lock);
  for (int i = 0; i < n; i++) run_on_packet(r, &packets[i]);
  os_mutex_unlock(&r->lock);
  worker_end(all);
  return true;
}

/* Some leave early, members of the port as they are. */
static void worker_body(void *arg) {
  worker *w = arg;
  while (worker_take(w->all)) {
    w->left = run_chance(w->all->r, 1);
    if (!w->left) continue;
    os_event_set(w->all->left);
    return;
  }
}

static void worker_start(worker *w) {
  w->left = false;
  EXPECT(w->all->r, os_thread_start(&w->thread, worker_body, w) == 0);
}

workers *workers_open(run *r, os_event *left) {
  workers *all = calloc(1, sizeof *all + r->workers * sizeof *all->each);
  EXPECT(r, all != NULL);
  all->r = r;
  all->left = left;
  all->patient = run_chance(r, 50);
  workers_here = all;
  for (unsigned i = 0; i < r->workers; i++) {
    all->each[i].all = all;
    worker_start(&all->each[i]);
  }
  return all;
}

void workers_step(workers *all) {
  for (unsigned i = 0; i < all->r->workers; i++) {
    worker *w = &all->each[i];
    if (!w->left) continue;
    os_thread_join(&w->thread);
    worker_start(w);
  }
}

void workers_close(workers *all) {
  for (unsigned i = 0; i < all->r->workers; i++) os_thread_join(&all->each[i].thread);
  EXPECT(all->r, all->inside == 0 && all->excess == 0);
  free(all);
}
