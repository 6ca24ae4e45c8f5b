/* port_iocp_timer_win32.c - timers of the Windows backend: a heap of deadlines, and one thread that waits for the
 * earliest and posts it. The thread is started with the first timer and sleeps as long as nothing is due. */
#include <stddef.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "port/port_iocp.h"

/* How long to wait before trying again when the kernel has no memory for a packet: a timer must not get lost. */
enum { TIMER_RETRY_MS = 10 };

static iocp_op *timer_op(heap_node *n) {
  return container_of(n, iocp_op, timer.due);
}

int iocp_timers_init(iocp_timers *t) {
  int err = os_event_init(&t->changed);
  if (err < 0) return err;
  os_mutex_init(&t->lock);
  return 0;
}

void iocp_timers_fini(iocp_timers *t) {
  heap_fini(&t->due);
  os_mutex_fini(&t->lock);
  os_event_fini(&t->changed);
}

/* ---- the thread ---- */

static bool timer_ring_locked(iocp_port *p, heap_node *first) {
  iocp_op *op = timer_op(first);
  if (iocp_queue(p, IOCP_KEY_TIMER, op) < 0) return false;
  /* A worker may hold the packet already; iocp_timer_finish waits for our lock before it lets go of the op. */
  heap_remove(&p->timers.due, first);
  return true;
}

/* Posts what is due. result: ns until there is more to do, -1 = never */
static int64_t timer_ring_due_locked(iocp_port *p) {
  for (;;) {
    heap_node *first = heap_first(&p->timers.due);
    if (first == NULL) return -1;
    int64_t now = os_clock_now();
    if (first->due > now) return first->due - now;
    if (!timer_ring_locked(p, first)) return (int64_t)TIMER_RETRY_MS * OS_NS_PER_MS;
  }
}

static void timer_run(void *arg) {
  iocp_port   *p = arg;
  iocp_timers *t = &p->timers;
  os_mutex_lock(&t->lock);
  while (!t->stop) {
    int64_t wait_ns = timer_ring_due_locked(p);
    os_mutex_unlock(&t->lock);
    os_event_wait(&t->changed, wait_ns);
    os_mutex_lock(&t->lock);
  }
  os_mutex_unlock(&t->lock);
}

void iocp_timers_stop(iocp_timers *t) {
  os_mutex_lock(&t->lock);
  t->stop = true;
  bool running = t->running;
  t->running = false;
  os_mutex_unlock(&t->lock);
  if (!running) return;
  os_event_set(&t->changed);
  os_thread_join(&t->thread);
}

/* ---- timers ---- */

static int timer_start_locked(iocp_port *p, iocp_op *op, int64_t due_ns) {
  iocp_timers *t = &p->timers;
  if (t->stop) return PORTICO_ECLOSED;
  if (!t->running && os_thread_start(&t->thread, timer_run, p) < 0) return PORTICO_ENOMEM;
  t->running = true;
  int err = heap_insert(&t->due, &op->timer.due, due_ns);
  if (err < 0) return err;
  atomic_store(&op->kind, IOCP_TIMER);
  atomic_fetch_add(&p->started, 1);
  if (heap_first(&t->due) == &op->timer.due) os_event_set(&t->changed);
  return 0;
}

int iocp_timer(port *base, port_op *base_op, void *key, int64_t due_ns) {
  iocp_port *p = (iocp_port *)base;
  iocp_op   *op = (iocp_op *)base_op;
  op->err = 0;
  op->port = p;
  op->timer.due.index = 0;
  op->timer.key = key;
  os_mutex_lock(&p->timers.lock);
  int err = timer_start_locked(p, op, due_ns);
  os_mutex_unlock(&p->timers.lock);
  return err;
}

static int timer_cancel_locked(iocp_timers *t, iocp_op *op) {
  if (op->timer.due.index == 0 || op->err != 0) return PORTICO_ENOTFOUND;
  op->err = PORTICO_ECANCELED;
  heap_remove(&t->due, &op->timer.due);
  if (iocp_queue(op->port, IOCP_KEY_TIMER, op) == 0) return 0;
  /* No memory: the thread tries until there is. The insert cannot fail, it takes the place just left. */
  int err = heap_insert(&t->due, &op->timer.due, INT64_MIN);
  CHECK(err == 0);
  os_event_set(&t->changed);
  return 0;
}

int iocp_timer_cancel(iocp_op *op) {
  iocp_timers *t = &op->port->timers;
  os_mutex_lock(&t->lock);
  int err = timer_cancel_locked(t, op);
  os_mutex_unlock(&t->lock);
  return err;
}

port_packet iocp_timer_finish(iocp_op *op) {
  os_mutex *lock = &op->port->timers.lock;
  os_mutex_lock(lock); /* whoever queued the packet may not have let go of the op yet */
  port_packet packet = {.key = op->timer.key, .op = (port_op *)op, .err = op->err};
  atomic_store(&op->kind, IOCP_IDLE);
  os_mutex_unlock(lock);
  return packet;
}

bool iocp_timers_pop(iocp_port *p, port_packet *out_packet) {
  iocp_timers *t = &p->timers;
  os_mutex_lock(&t->lock);
  heap_node *first = heap_first(&t->due);
  if (first != NULL) {
    heap_remove(&t->due, first);
    timer_op(first)->err = PORTICO_ECANCELED;
  }
  os_mutex_unlock(&t->lock);
  if (first == NULL) return false;
  *out_packet = iocp_timer_finish(timer_op(first));
  atomic_fetch_add(&p->taken, 1);
  return true;
}
