/* sim_thread.c - the threads of a world with a virtual clock: one runs at a time, and the generator says which.
 *
 * Each is a thread of the system that waits for its baton unless its turn has come. It passes the turn on when it waits
 * for something, when it ends, and, at the rate `preempt`, when it calls the simulated kernel. So a program with many
 * threads is still a function of its seed. Time only passes over when all of them wait. */
#include <stdlib.h>

#include "base/check.h"
#include "os/clock.h"
#include "os/sim_world.h"

struct sim_thread {
  sim_thread *next; /* in its world, oldest first */
  os_event    baton; /* the system's */
  uintptr_t   handle; /* by which it is joined */
  unsigned    number; /* from 1; 0 = a guest, see sim_thread_enter */
  /* under the lock of the world */
  bool        ended, waits, enters;
  const void *on;       /* a mutex, a poller, a socket or a thread; NULL = an event, or for time only */
  os_event   *event;    /* set by whoever, who need not know that it is waited for */
  bool        took;     /* the event was set, and is taken */
  bool        looks;    /* goes on whenever something has happened */
  bool        rests;    /* ... but only when all others wait, see os_sim_wait */
  uint64_t    turns;    /* of the world, when it began to rest */
  int64_t     until_ns; /* it goes on by itself */
  int64_t     turn_ns;  /* when its turn began */
  int64_t     ran_ns;   /* time that passed in the turns before */
};

static _Thread_local sim_thread *thread_self;
static _Thread_local sim_thread  thread_guest; /* what self is in a world that did not start the thread */

/* ---- turns ---- */

/* True if it could go on. */
static bool thread_ready_locked(const os_sim *w, sim_thread *t) {
  if (t->ended || t->rests) return false;
  if (t->waits && t->event != NULL) t->took = sys_event_take(t->event);
  if (t->took || t->until_ns <= w->now_ns) t->waits = false;
  return !t->waits;
}

/* All wait: time passes until something happens. */
static void thread_leap_locked(os_sim *w) {
  heap_node *first = heap_first(&w->events);
  int64_t    next_ns = first == NULL ? INT64_MAX : first->due;
  for (sim_thread *t = w->threads; t != NULL; t = t->next) {
    if (!t->ended && t->until_ns < next_ns) next_ns = t->until_ns;
  }
  if (next_ns == INT64_MAX) { /* uncovered: the CHECK below ends the program */
    sim_note_locked(w, NULL, "all threads wait for ever", w->thread_count);
  }
  CHECK(next_ns != INT64_MAX); /* nothing is left to happen: who waits now waits for ever */
  if (next_ns > w->now_ns) w->now_ns = next_ns;
  if (first == NULL || first->due > w->now_ns) return;
  sim_run_due_locked(w);
  for (sim_thread *t = w->threads; t != NULL; t = t->next) {
    if (t->looks) t->waits = false;
  }
}

/* One that has rested while others had turns, or long enough; all others wait. result: NULL = there is none */
static sim_thread *thread_rested_locked(const os_sim *w) {
  for (sim_thread *t = w->threads; t != NULL; t = t->next) {
    if (t->rests && (!t->waits || t->turns != w->turns || t->until_ns <= w->now_ns)) return t;
  }
  return NULL;
}

/* Whose turn it is. */
static sim_thread *thread_choose_locked(os_sim *w) {
  for (;;) {
    uint64_t ready = 0;
    for (sim_thread *t = w->threads; t != NULL; t = t->next) ready += thread_ready_locked(w, t);
    uint64_t skip = ready > 1 ? sim_below_locked(w, ready) : 0;
    for (sim_thread *t = w->threads; ready > 0; t = t->next) {
      if (!t->ended && !t->rests && !t->waits && skip-- == 0) return t;
    }
    sim_thread *rested = thread_rested_locked(w);
    if (rested != NULL) return rested;
    thread_leap_locked(w);
  }
}

static void thread_give_locked(os_sim *w, sim_thread *t) {
  w->turn = t;
  w->turns++;
  t->turn_ns = w->now_ns;
  sim_note_locked(w, NULL, "thread", t->number);
  os_event_set(&t->baton);
}

static void thread_await_turn_locked(os_sim *w, sim_thread *t) {
  while (w->turn != t) {
    sim_unlock(w);
    sys_event_await(&t->baton);
    sim_lock(w);
  }
}

/* Somebody has a turn, maybe the caller again. */
static void thread_pass_on_locked(os_sim *w) {
  sim_thread *t = thread_self, *next = thread_choose_locked(w);
  if (next == t) return;
  t->ran_ns += w->now_ns - t->turn_ns;
  thread_give_locked(w, next);
  thread_await_turn_locked(w, t);
}

void sim_preempt_locked(os_sim *w) {
  if (w->thread_count < 2 || thread_self == NULL || w != sim_virtual_here) return;
  if (sim_chance_locked(w, w->options.rates.preempt)) thread_pass_on_locked(w);
}

void sim_thread_yield(void) {
  os_sim *w = sim_enter_locked();
  thread_pass_on_locked(w);
  sim_unlock(w);
}

/* ---- waiting ---- */

/* The moment timeout_ns from now. */
static int64_t thread_until(const os_sim *w, int64_t timeout_ns) {
  return timeout_ns > INT64_MAX - w->now_ns ? INT64_MAX : w->now_ns + timeout_ns;
}

/* The thread waits: for whoever wakes `on`, for the event (either may be NULL), with `looks` until something happens,
 * at most until until_ns. result: true if it took the event */
static bool thread_wait_locked(os_sim *w, const void *on, os_event *event, bool looks, int64_t until_ns) {
  sim_thread *t = thread_self;
  t->waits = true;
  t->on = on;
  t->event = event;
  t->looks = looks;
  t->took = false;
  t->until_ns = until_ns;
  thread_pass_on_locked(w);
  bool took = t->took;
  t->until_ns = INT64_MAX;
  t->waits = t->took = t->looks = false;
  t->event = NULL;
  t->on = NULL;
  return took;
}

bool os_sim_wait(int64_t timeout_ns) {
  os_sim     *w = sim_enter_locked();
  sim_thread *t = thread_self;
  uint64_t    turns = t->turns = w->turns;
  t->rests = true;
  thread_wait_locked(w, NULL, NULL, true, thread_until(w, timeout_ns));
  t->rests = false;
  bool ran = w->turns > turns; /* the turn came back, too, if it was given away */
  sim_unlock(w);
  return ran;
}

void sim_thread_wait_locked(os_sim *w, const void *on, int64_t until_ns) {
  thread_wait_locked(w, on, NULL, true, until_ns);
}

void sim_thread_wake_locked(os_sim *w, const void *on) {
  for (sim_thread *t = w->threads; t != NULL; t = t->next) {
    if (t->on == on) t->waits = false;
  }
}

bool sim_event_wait(os_event *e, int64_t timeout_ns) {
  os_sim *w = sim_enter_locked();
  int64_t until_ns = timeout_ns < 0 ? INT64_MAX : thread_until(w, timeout_ns);
  bool    took = thread_wait_locked(w, NULL, e, false, until_ns);
  sim_unlock(w);
  return took;
}

void sim_mutex_wait(const os_mutex *m) {
  os_sim *w = sim_here;
  sim_lock(w); /* nobody comes first: the mutex may be given back, and we would not hear of it */
  thread_wait_locked(w, m, NULL, false, INT64_MAX);
  sim_unlock(w);
}

void sim_mutex_wake(const os_mutex *m) {
  os_sim *w = sim_here;
  sim_lock(w);
  sim_thread_wake_locked(w, m);
  sim_unlock(w);
}

/* ---- life ---- */

static void thread_add_locked(os_sim *w, sim_thread *t) {
  sim_thread **end = &w->threads;
  CHECK(os_event_init(&t->baton) == 0); /* as sim_new */
  while (*end != NULL) end = &(*end)->next;
  *end = t;
  t->until_ns = INT64_MAX;
  w->thread_count++;
}

static void thread_remove_locked(os_sim *w, sim_thread *t) {
  sim_thread **at = &w->threads;
  while (*at != t) at = &(*at)->next;
  *at = t->next;
  w->thread_count--;
  os_event_fini(&t->baton);
}

sim_thread *sim_thread_make(void) {
  if (sim_virtual_here == NULL) return NULL;
  os_sim     *w = sim_enter_locked();
  sim_thread *t = sim_new(sizeof *t);
  thread_add_locked(w, t);
  t->number = ++w->thread_numbers;
  sim_ref(w);
  sim_unlock(w);
  return t;
}

void sim_thread_made(sim_thread *t, uintptr_t handle) {
  if (t == NULL) return;
  os_sim *w = sim_here;
  sim_lock(w);
  t->handle = handle;
  if (handle == 0) thread_remove_locked(w, t);
  sim_unlock(w);
  if (handle != 0) return;
  sim_unref(w);
  free(t);
}

void sim_thread_begin(os_sim *w, sim_thread *t) {
  if (t == NULL) {
    if (w != NULL) os_sim_enter(w);
    return;
  }
  sim_lock(w);
  thread_await_turn_locked(w, t);
  sim_unlock(w);
  thread_self = t;
  sim_here = sim_virtual_here = w;
}

void sim_thread_end(void) {
  os_sim     *w = sim_here;
  sim_thread *t = thread_self;
  if (t == NULL) {
    os_sim_leave();
    return;
  }
  sim_lock(w);
  t->ended = true;
  sim_thread_wake_locked(w, t);
  thread_give_locked(w, thread_choose_locked(w));
  sim_unlock(w);
  thread_self = NULL;
  sim_here = sim_virtual_here = NULL;
  sim_unref(w);
}

void sim_thread_join(uintptr_t handle) {
  os_sim     *w = sim_enter_locked();
  sim_thread *t = w->threads;
  while (t != NULL && t->handle != handle) t = t->next; /* uncovered: a thread of its world */
  CHECK(t != NULL); /* a thread is joined in the world that it was started in */
  while (!t->ended) thread_wait_locked(w, t, NULL, false, INT64_MAX);
  thread_remove_locked(w, t);
  sim_unlock(w);
  free(t);
}

/* ---- guests: threads that the world did not start come and go ---- */

void sim_thread_enter(os_sim *w) {
  sim_thread *t = &thread_guest;
  sim_lock(w);
  *t = (sim_thread){0};
  thread_add_locked(w, t);
  if (w->turn == NULL) w->turn = t;
  t->enters = true;
  thread_await_turn_locked(w, t);
  t->enters = false;
  t->turn_ns = w->now_ns;
  thread_self = t;
  sim_unlock(w);
}

/* The turn goes to a guest that knocks, or else to nobody: the threads of the world stand still until one comes back,
 * so that what it does outside takes no time in here. */
void sim_thread_leave(os_sim *w) {
  sim_thread *t = thread_self, *next = NULL;
  sim_lock(w);
  CHECK(w->turn == t && t == &thread_guest);
  thread_remove_locked(w, t);
  for (sim_thread *other = w->threads; other != NULL && next == NULL; other = other->next) {
    if (other->enters) next = other;
  }
  w->turn = NULL;
  if (next != NULL) thread_give_locked(w, next);
  thread_self = NULL;
  sim_unlock(w);
}

/* ---- what others may learn ---- */

uintptr_t sim_thread_here(void) {
  return (uintptr_t)thread_self;
}

int64_t sim_thread_ran_ns(uintptr_t thread) {
  const sim_thread *t = (const sim_thread *)thread;
  return t->ran_ns; /* of the caller itself without its present turn */
}

bool sim_thread_waits(uintptr_t thread) {
  return ((const sim_thread *)thread)->waits;
}
