/* worker.c - threads under the hand of the test. */
#include "worker.h"

typedef enum worker_step { REST, GET, SERVE, RUN, ENTER, LEAVE, SLEEP, WAKE, QUIT } worker_step;

struct worker {
  worker   *next; /* of the same fixture */
  os_thread thread;
  bool      joined;
  os_event  go, done;
  _Atomic worker_step step; /* the test sets it, the worker takes it back to REST */
  /* arguments of the step, written before it */
  port            *p;
  unsigned         max;
  int64_t          timeout_ns;
  worker_packet_fn on_packet;
  worker_fn        body;
  void            *arg;
  /* the worker's own; the test may read it between steps */
  worker_result result;
  unsigned      brackets;
  bool          spins; /* instead of sleeping: it has waited on a port and is in no bracket */
  atomic_uint   served;
};

typedef struct worker_list {
  worker  *first;
  unsigned count;
} worker_list;

/* ---- on the worker's thread ---- */

static worker_step worker_next_step(worker *w) {
  worker_step step;
  while ((step = atomic_load(&w->step)) == REST) {
    if (w->spins) os_thread_yield();
    else os_event_wait(&w->go, fixture_deadline());
  }
  return step;
}

static void worker_do_get(worker *w) {
  w->result.began_ns = os_clock_now();
  w->result.count = port_get(w->p, w->result.packets, w->max, w->timeout_ns);
  w->result.ended_ns = os_clock_now();
  w->spins = true;
}

static void worker_do_serve(worker *w) {
  for (;;) {
    worker_do_get(w);
    if (w->result.count < 0 || w->result.packets[0].key == STOP) return;
    atomic_fetch_add(&w->served, 1);
    w->on_packet(w, &w->result.packets[0], w->arg);
  }
}

static void worker_do_enter(worker *w) {
  port_block_enter();
  w->brackets++;
  w->spins = false;
}

static void worker_do_leave(worker *w) {
  port_block_leave();
  w->brackets--;
  w->spins = w->brackets == 0;
}

static void worker_main(void *arg) {
  worker *w = arg;
  for (;;) {
    switch (worker_next_step(w)) {
    case GET: worker_do_get(w); break;
    case SERVE: worker_do_serve(w); break;
    case RUN: w->body(w, w->arg); break;
    case ENTER: worker_do_enter(w); break;
    case LEAVE: worker_do_leave(w); break;
    case SLEEP: w->spins = false; break;
    case WAKE: w->spins = true; break;
    case QUIT: return;
    case REST: break;
    }
    atomic_store(&w->step, REST);
    os_event_set(&w->done);
  }
}

/* ---- on the test thread ---- */

static void worker_set_step(worker *w, worker_step step) {
  atomic_store(&w->step, step);
  os_event_set(&w->go);
}

static void worker_do(worker *w, worker_step step) {
  worker_set_step(w, step);
  assert_true(worker_returned(w));
}

/* True if the thread is gone; false while a step of its own, which a failed case left, is going on. */
static bool worker_try_join(worker *w) {
  if (w->joined) return true;
  if (atomic_load(&w->step) != REST) return false;
  worker_set_step(w, QUIT);
  os_thread_join(&w->thread);
  w->joined = true;
  return true;
}

/* Those that wait get a STOP; but maybe only when others, which hold up the port by running, are gone. */
static void workers_end(fixture *f, void *arg) {
  worker_list *list = arg;
  unsigned     joined = 0;
  fixture_post_stops(f, list->count);
  while (joined < list->count) {
    joined = 0;
    for (worker *w = list->first; w != NULL; w = w->next) joined += worker_try_join(w);
    if (joined < list->count) fixture_pause(MS(1));
  }
  for (worker *w = list->first; w != NULL; w = w->next) {
    os_event_fini(&w->go);
    os_event_fini(&w->done);
  }
}

static worker_list *worker_list_of(fixture *f) {
  worker_list *list = fixture_end_arg(f);
  if (list == NULL) {
    list = fixture_memory(f, sizeof *list);
    fixture_at_end(f, workers_end, list);
  }
  return list;
}

worker *worker_start(fixture *f) {
  worker_list *list = worker_list_of(f);
  worker      *w = fixture_memory(f, sizeof *w);
  assert_int_equal(os_event_init(&w->go), 0);
  assert_int_equal(os_event_init(&w->done), 0);
  assert_int_equal(os_thread_start(&w->thread, worker_main, w), 0);
  w->next = list->first;
  list->first = w;
  list->count++;
  return w;
}

void worker_exit(worker *w) {
  assert_true(worker_try_join(w));
}

void worker_get(worker *w, port *p) {
  worker_get_n(w, p, 1, 2 * fixture_deadline()); /* so that a lost wake-up is not mended before the test gives up */
}

void worker_get_n(worker *w, port *p, unsigned max, int64_t timeout_ns) {
  assert_true(max <= WORKER_PACKETS);
  w->p = p;
  w->max = max;
  w->timeout_ns = timeout_ns;
  worker_set_step(w, GET);
}

void worker_serve(worker *w, port *p, worker_packet_fn on_packet, void *arg) {
  w->p = p;
  w->max = 1;
  w->timeout_ns = 2 * fixture_deadline();
  w->on_packet = on_packet;
  w->arg = arg;
  worker_set_step(w, SERVE);
}

unsigned worker_served(const worker *w) {
  return atomic_load(&w->served);
}

void worker_run(worker *w, worker_fn body, void *arg) {
  w->body = body;
  w->arg = arg;
  worker_set_step(w, RUN);
}

bool worker_returned(worker *w) {
  return os_event_wait(&w->done, fixture_deadline());
}

bool worker_stays(worker *w) {
  return !os_event_wait(&w->done, fixture_quiet());
}

const worker_result *worker_result_of(const worker *w) {
  return &w->result;
}

void worker_enter(worker *w) {
  worker_do(w, ENTER);
}

void worker_leave(worker *w) {
  worker_do(w, LEAVE);
}

void worker_sleep(worker *w) {
  worker_do(w, SLEEP);
}

void worker_wake(worker *w) {
  worker_do(w, WAKE);
}

bool worker_look(worker *w, port *p) {
  worker_get_n(w, p, 1, 0);
  assert_true(worker_returned(w));
  return w->result.count == 1;
}

/* ---- many ---- */

void workers_serve(fixture *f, worker **out_workers, unsigned count, port *p, worker_packet_fn on_packet, void *arg) {
  for (unsigned i = 0; i < count; i++) {
    out_workers[i] = worker_start(f);
    worker_serve(out_workers[i], p, on_packet, arg);
  }
}

/* One that has left its loop still counts as running, so it must be gone before the next gets its STOP. */
bool workers_stop(worker **workers, unsigned count, port *p) {
  int64_t  end = os_clock_now() + fixture_deadline();
  unsigned gone = 0;
  for (unsigned i = 0; i < count; i++) port_post(p, STOP, NULL, 0);
  while (gone < count && os_clock_now() < end) {
    gone = 0;
    for (unsigned i = 0; i < count; i++) gone += worker_try_join(workers[i]);
    if (gone < count) fixture_pause(MS(1));
  }
  return gone == count;
}
