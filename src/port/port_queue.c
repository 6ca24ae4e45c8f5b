/* port_queue.c - FIFO packets, LIFO workers, concurrency gate: the kernel's algorithm, in user space.
 *
 * The one lock is held for a few instructions at a time; events are set and the source is woken after it was given
 * back. A waiter is released by giving it its packet ("handed"), so that nobody can take it away on the way. */
#include "port/port_queue.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"
#include "os/clock.h"

/* After so many packets, and at most so often, the source gets a look in though packets are left. */
enum { QUEUE_LOOK_PACKETS = SIZED(61, 1), QUEUE_LOOK_NS = SIZED(50 * OS_NS_PER_US, 0) };

/* Posts one behind the other, without another packet between them. */
enum { POSTS_MAX = SIZED(64, 2), POST_SPARES = SIZED(16, 1) };
typedef struct post_block {
  packet_node node;
  uint32_t    first, end; /* of packets, what is still there */
  port_packet packets[POSTS_MAX];
} post_block;

/* ---- the calling thread ---- */

static _Thread_local member self;

static void member_leave(member *m);

static void member_at_exit(void *arg) {
  member *m = arg;
  if (m->queue != NULL) member_leave(m);
}

/* errors   ENOMEM */
static int member_join(member *m, port_queue *q) {
  int err = os_event_init(&m->event);
  if (err < 0) return err; /* uncovered: only on Windows does an event need anything */
  err = os_thread_at_exit(member_at_exit, m);
  if (err < 0) {
    os_event_fini(&m->event);
    return err;
  }
  os_thread_view_open(&m->view);
  port_ref(q->port);
  m->queue = q;
  m->state = MEMBER_OUT;
  os_mutex_lock(&q->lock);
  m->next = q->members;
  m->prev = NULL;
  if (q->members != NULL) q->members->prev = m;
  q->members = m;
  os_mutex_unlock(&q->lock);
  return 0;
}

static void member_leave(member *m) {
  port_queue *q = m->queue;
  os_mutex_lock(&q->lock);
  port_queue_move_locked(q, m, MEMBER_OUT);
  atomic_fetch_add_explicit(&q->pending, atomic_load_explicit(&m->started, memory_order_relaxed), memory_order_relaxed);
  atomic_store_explicit(&m->started, 0, memory_order_relaxed);
  if (m->next != NULL) m->next->prev = m->prev;
  if (m->prev != NULL) m->prev->next = m->next;
  else q->members = m->next;
  port_queue_unlock_and_serve(q, true);
  os_thread_view_close(&m->view);
  os_event_fini(&m->event);
  m->queue = NULL;
  m->brackets = 0;
  port_unref(q->port);
}

void port_queue_move_locked(port_queue *q, member *m, member_state state) {
  if (m->state == MEMBER_ACTIVE) q->active--;
  if (state == MEMBER_ACTIVE) q->active++;
  m->state = state;
  m->epoch++;
}

/* ---- lists ---- */

void packet_list_append(packet_list *l, packet_node *n) {
  n->next = NULL;
  if (l->last != NULL) l->last->next = n;
  else l->first = n;
  l->last = n;
  l->count++;
}

/* Counts ops whose packets are about to be queued. */
static void queue_count_ended(port_queue *q, size_t count) {
  if (count > 0) atomic_fetch_sub_explicit(&q->pending, count, memory_order_release);
}

static void queue_append_locked(port_queue *q, packet_list *l) {
  if (l->count == 0) return;
  if (q->last != NULL) q->last->next = l->first;
  else q->first = l->first;
  q->last = l->last;
  q->queued += l->count;
  *l = (packet_list){0};
}

static void queue_keep_block_locked(port_queue *q, post_block *b) {
  if (q->spares == POST_SPARES) {
    free(b);
    return;
  }
  b->node.next = q->spare == NULL ? NULL : &q->spare->node;
  q->spare = b;
  q->spares++;
}

/* The oldest packet of a node. */
static const port_packet *node_packet(const packet_node *n) {
  const post_block *b = (const post_block *)n;
  return n->posts ? &b->packets[b->first] : &n->packet;
}

/* Takes that packet off. result: what is the first node now */
static packet_node *queue_pop_locked(port_queue *q, packet_node *n) {
  packet_node *next = n->next;
  if (!n->posts) return next;
  post_block *b = (post_block *)n;
  if (++b->first < b->end) return n;
  queue_keep_block_locked(q, b);
  return next;
}

/* Moves the oldest packets to out_packets[n] and on, up to max there; with one_key no further than the key of the first
 * allows, see port_get_run.
 * result   n and how many were moved */
static unsigned queue_move_out_locked(port_queue *q, port_packet *out_packets, unsigned n, unsigned max, bool one_key) {
  unsigned     before = n;
  packet_node *node = q->first;
  while (n < max && node != NULL) {
    const port_packet *packet = node_packet(node);
    if (one_key && n > 0 && (packet->key != out_packets[0].key || packet->key == NULL)) break;
    out_packets[n++] = *packet;
    node = queue_pop_locked(q, node);
  }
  q->first = node;
  if (node == NULL) q->last = NULL;
  q->queued -= n - before;
  return n;
}

static void stack_push_locked(port_queue *q, member *m) {
  m->older = q->newest;
  m->newer = NULL;
  if (q->newest != NULL) q->newest->newer = m;
  q->newest = m;
  m->parked = true;
}

static void stack_remove_locked(port_queue *q, member *m) {
  if (m->newer != NULL) m->newer->older = m->older;
  else q->newest = m->older;
  if (m->older != NULL) m->older->newer = m->newer;
  m->parked = false;
}

/* ---- handing out ---- */

/* The waiter that began to wait last, parked or leader; NULL if there is none to be had. */
static member *queue_newest_waiter_locked(port_queue *q) {
  bool    waits = q->leader != NULL && !q->leader->handed && q->leader_until_ns != 0;
  member *leader = waits ? q->leader : NULL;
  if (leader == NULL) return q->newest;
  return q->newest != NULL && q->newest->since > leader->since ? q->newest : leader;
}

/* Takes a waiter off the stack and notes that it is to be woken. */
static void queue_release_locked(port_queue *q, member *m, member **wake) {
  stack_remove_locked(q, m);
  m->wake_next = *wake;
  *wake = m;
}

/* Wakes who was released; without the lock. */
static void queue_wake(member *released) {
  while (released != NULL) {
    member *m = released;
    released = m->wake_next; /* before the set: the thread may be gone after it */
    os_event_set(&m->event);
  }
}

void port_queue_unlock_and_serve(port_queue *q, bool promote) {
  member *wake = NULL;
  member *leader = NULL;
  while (q->queued > 0 && q->active < q->max) {
    member *m = queue_newest_waiter_locked(q);
    if (m == NULL) break;
    m->handed = true;
    queue_move_out_locked(q, &m->packet, 0, 1, false);
    port_queue_move_locked(q, m, MEMBER_ACTIVE);
    if (m == q->leader) leader = m;
    else queue_release_locked(q, m, &wake);
  }
  if (promote && q->leader == NULL && q->newest != NULL) queue_release_locked(q, q->newest, &wake);
  os_mutex_unlock(&q->lock);
  if (leader != NULL) q->source->wake(q->backend);
  queue_wake(wake);
}

void port_queue_complete(port_queue *q, packet_list *l) {
  if (l->count == 0) return;
  queue_count_ended(q, l->count);
  os_mutex_lock(&q->lock);
  if (q->closed) *l = (packet_list){0};
  else queue_append_locked(q, l);
  port_queue_unlock_and_serve(q, false);
}

void port_queue_started(port_queue *q) {
  if (self.queue != q) {
    atomic_fetch_add_explicit(&q->pending, 1, memory_order_relaxed);
    return;
  }
  size_t started = atomic_load_explicit(&self.started, memory_order_relaxed); /* nobody else adds to it */
  atomic_store_explicit(&self.started, started + 1, memory_order_relaxed);
}

/* Started ops whose packet is not queued. The ends are read before the starts, so that 0 means: at the time of the
 * first read there was none. */
static size_t queue_pending_locked(port_queue *q) {
  size_t pending = atomic_load_explicit(&q->pending, memory_order_acquire);
  for (member *m = q->members; m != NULL; m = m->next) {
    pending += atomic_load_explicit(&m->started, memory_order_relaxed);
  }
  return pending;
}

/* ---- posts ---- */

/* A new block at the end. result: NULL = no memory */
static post_block *queue_add_block_locked(port_queue *q) {
  post_block *b = q->spare;
  if (b == NULL) {
    b = malloc(sizeof *b);
    if (b == NULL) return NULL;
  } else {
    q->spare = (post_block *)b->node.next;
    q->spares--;
  }
  b->node.posts = true;
  b->node.next = NULL;
  b->first = b->end = 0;
  if (q->last != NULL) q->last->next = &b->node;
  else q->first = &b->node;
  q->last = &b->node;
  return b;
}

/* Locks an open queue. */
static int queue_enter_post(port_queue *q) {
  os_mutex_lock(&q->lock);
  /* A worker that was taken for blocked and posts is running after all. */
  if (self.queue == q && self.state == MEMBER_PRESUMED) port_queue_move_locked(q, &self, MEMBER_ACTIVE);
  if (!atomic_load_explicit(&q->closed, memory_order_relaxed)) return 0;
  os_mutex_unlock(&q->lock);
  return PORTICO_ECLOSED;
}

int port_queue_post_node(port_queue *q, packet_node *n) {
  int err = queue_enter_post(q);
  if (err < 0) return err;
  packet_list l = {.first = n, .last = n, .count = 1};
  queue_append_locked(q, &l);
  port_queue_unlock_and_serve(q, false);
  return 0;
}

int port_queue_post(port_queue *q, void *key, port_op *op, uint32_t bytes) {
  int err = queue_enter_post(q);
  if (err < 0) return err;
  post_block *b = (post_block *)q->last;
  if (b == NULL || !b->node.posts || b->end == POSTS_MAX) b = queue_add_block_locked(q);
  if (b == NULL) {
    os_mutex_unlock(&q->lock);
    return PORTICO_ENOMEM;
  }
  b->packets[b->end++] = (port_packet){.key = key, .op = op, .bytes = bytes};
  q->queued++;
  port_queue_unlock_and_serve(q, false);
  return 0;
}

/* ---- timers ---- */

int port_queue_timer_start(port_queue *q, queue_timer *t, int64_t due_ns) {
  os_mutex_lock(&q->lock);
  int err = q->closed ? PORTICO_ECLOSED : heap_insert(&q->timers, &t->heap, due_ns);
  bool wake = err == 0 && q->leader != NULL && due_ns < q->leader_until_ns;
  if (wake) q->leader_until_ns = due_ns; /* woken once is enough */
  if (err == 0) port_queue_started(q);
  os_mutex_unlock(&q->lock);
  if (wake) q->source->wake(q->backend);
  return err;
}

int port_queue_timer_cancel(port_queue *q, queue_timer *t) {
  os_mutex_lock(&q->lock);
  if (t->heap.index == 0) {
    os_mutex_unlock(&q->lock);
    return PORTICO_ENOTFOUND;
  }
  heap_remove(&q->timers, &t->heap);
  os_mutex_unlock(&q->lock);
  t->node.packet.err = PORTICO_ECANCELED;
  packet_list l = {0};
  packet_list_append(&l, &t->node);
  port_queue_complete(q, &l);
  return 0;
}

static void queue_ring_timers_locked(port_queue *q) {
  heap_node *first = heap_first(&q->timers);
  if (first == NULL) return;
  packet_list due = {0};
  int64_t     now = os_clock_now();
  for (; first != NULL && first->due <= now; first = heap_first(&q->timers)) {
    heap_remove(&q->timers, first);
    packet_list_append(&due, &container_of(first, queue_timer, heap)->node);
  }
  queue_count_ended(q, due.count);
  queue_append_locked(q, &due);
}

/* ---- get ---- */

/* True if the source should get a look in though packets are left. */
static bool queue_starved_locked(port_queue *q) {
  if (q->taken_unpolled < QUEUE_LOOK_PACKETS || q->leader != NULL) return false;
  int64_t now = os_clock_now();
  q->taken_unpolled = 0;
  if (now - q->busy_look_ns < QUEUE_LOOK_NS) return false;
  q->busy_look_ns = now;
  return true;
}

/* Fills out_packets, the handed packet first; the member runs. The lock is given back. */
static int queue_take_and_unlock(port_queue *q, member *m, port_packet *out_packets, unsigned max, bool one_key) {
  unsigned n = 0;
  if (m->handed) {
    out_packets[n++] = m->packet;
    m->handed = false;
  } else if (m->state == MEMBER_ACTIVE) {
    m->epoch++; /* it was in here: all that changes */
  } else {
    port_queue_move_locked(q, m, MEMBER_ACTIVE);
  }
  n = queue_move_out_locked(q, out_packets, n, max, one_key);
  q->taken += n;
  q->taken_unpolled += n;
  if (q->monitor.parked) {
    q->monitor.parked = false;
    os_event_set(&q->monitor.event);
  }
  bool promote = q->leader == NULL && q->newest != NULL && !q->monitor.started; /* else the monitor does it in time */
  if (promote || (q->queued > 0 && q->active < q->max)) port_queue_unlock_and_serve(q, promote);
  else os_mutex_unlock(&q->lock);
  return (int)n;
}

/* Polls the source as the leader. Afterwards the lock is held again. */
static void queue_poll_locked(port_queue *q, member *m, int64_t until_ns) {
  heap_node *timer = heap_first(&q->timers);
  if (timer != NULL && timer->due < until_ns) until_ns = timer->due;
  q->leader = m;
  q->leader_until_ns = until_ns;
  q->waiting++;
  os_mutex_unlock(&q->lock);
  packet_list ended = {0};
  q->source->poll(q->backend, until_ns, &ended);
  os_mutex_lock(&q->lock);
  q->waiting--;
  q->leader = NULL;
  q->polls++;
  q->taken_unpolled = 0;
  queue_count_ended(q, ended.count);
  if (q->closed) return;
  queue_append_locked(q, &ended);
  queue_ring_timers_locked(q);
}

/* Sleeps until handed a packet, promoted, released or until_ns. Afterwards the lock is held again. */
static void queue_park_locked(port_queue *q, member *m, int64_t until_ns) {
  stack_push_locked(q, m);
  q->waiting++;
  os_mutex_unlock(&q->lock);
  int64_t left = until_ns == INT64_MAX ? -1 : until_ns - os_clock_now();
  bool    set = os_event_wait(&m->event, until_ns == INT64_MAX || left > 0 ? left : 0);
  os_mutex_lock(&q->lock);
  if (m->parked) {
    stack_remove_locked(q, m);
  } else if (!set) {
    /* Somebody took us off the stack just now and is about to set the event; it must not do so later on. */
    os_mutex_unlock(&q->lock);
    os_event_wait(&m->event, -1);
    os_mutex_lock(&q->lock);
  }
  q->waiting--;
}

static int queue_expire_and_unlock(port_queue *q, member *m) {
  port_queue_move_locked(q, m, MEMBER_ACTIVE); /* the kernel counts a thread whose wait timed out, too */
  os_mutex_unlock(&q->lock);
  return PORTICO_ETIMEDOUT;
}

int port_queue_get(port_queue *q, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key) {
  member *m = &self;
  if (m->queue != q) {
    if (m->queue != NULL) member_leave(m);
    int err = member_join(m, q);
    if (err < 0) return err;
  }
  int64_t until_ns = timeout_ns < 0 ? INT64_MAX : timeout_ns == 0 ? 0 : os_clock_now() + timeout_ns;
  bool    polled = false;
  os_mutex_lock(&q->lock);
  /* The common case: it comes back, there is more, nobody else has a better claim. */
  bool look = queue_starved_locked(q);
  bool stays = m->state == MEMBER_ACTIVE && q->active <= q->max && !look;
  if (stays && q->queued > 0) return queue_take_and_unlock(q, m, out_packets, max, one_key);
  port_queue_move_locked(q, m, MEMBER_OUT);
  m->since = ++q->waits;
  for (;;) {
    if (m->handed) return queue_take_and_unlock(q, m, out_packets, max, one_key);
    if (q->closed) break;
    bool open = q->active < q->max, takes = open && q->queued > 0;
    if (takes && !look) return queue_take_and_unlock(q, m, out_packets, max, one_key);
    /* One look is a look at the source, too, unless somebody else does that or it would be of no use. */
    bool looked = polled || q->leader != NULL || !open;
    bool expired = timeout_ns == 0 ? looked : until_ns != INT64_MAX && os_clock_now() >= until_ns;
    if (expired && !takes) return queue_expire_and_unlock(q, m); /* it takes right after the look */
    /* With packets waiting that only the gate holds back there is no use in more of them. */
    if (q->leader == NULL && (open || q->queued == 0)) {
      queue_poll_locked(q, m, takes ? 0 : until_ns);
      polled = true;
      look = false;
    } else {
      queue_park_locked(q, m, until_ns);
    }
  }
  os_mutex_unlock(&q->lock);
  member_leave(m);
  return PORTICO_ECLOSED;
}

/* ---- brackets: Windows sees by itself who is blocked, so that its backend needs none of its own ---- */

void port_block_enter(void) {
  member *m = &self;
  if (m->queue == NULL || m->brackets++ > 0) return;
  port_queue *q = m->queue;
  if (q->source->flush != NULL) q->source->flush(q->backend);
  os_mutex_lock(&q->lock);
  port_queue_move_locked(q, m, MEMBER_BLOCKED);
  port_queue_unlock_and_serve(q, true);
}

void port_block_leave(void) {
  member *m = &self;
  if (m->queue == NULL || m->brackets == 0 || --m->brackets > 0) return;
  port_queue *q = m->queue;
  os_mutex_lock(&q->lock);
  if (m->state == MEMBER_BLOCKED) port_queue_move_locked(q, m, MEMBER_ACTIVE);
  os_mutex_unlock(&q->lock);
}

/* ---- life cycle ---- */

int port_queue_init(port_queue *q, port *p, const port_options *options, const port_source *source, void *backend) {
  *q = (port_queue){.source = source, .backend = backend, .port = p};
  q->max = options->concurrency == 0 ? os_processors() : options->concurrency;
  os_mutex_init(&q->lock);
  int err = options->monitor ? port_monitor_start(q) : 0;
  if (err < 0) os_mutex_fini(&q->lock);
  return err;
}

static void queue_drop(const port_packet *packet, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  if (on_drop != NULL) on_drop(packet, arg);
}

/* Hands over what is in a list of packets; on_drop may free the op that a node lives in. */
static void queue_drop_all(packet_node *n, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  while (n != NULL) {
    packet_node *next = n->next;
    if (n->posts) {
      post_block *b = (post_block *)n;
      for (; b->first < b->end; b->first++) queue_drop(&b->packets[b->first], on_drop, arg);
      free(b);
    } else {
      queue_drop(&n->packet, on_drop, arg);
    }
    n = next;
  }
}

size_t port_queue_close(port_queue *q, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  os_mutex_lock(&q->lock);
  if (q->closed) {
    os_mutex_unlock(&q->lock);
    return 0;
  }
  q->closed = true;
  packet_list dropped = {.first = q->first, .last = q->last, .count = q->queued};
  q->first = q->last = NULL;
  q->queued = 0;
  for (heap_node *t = heap_first(&q->timers); t != NULL; t = heap_first(&q->timers)) {
    heap_remove(&q->timers, t);
    packet_node *n = &container_of(t, queue_timer, heap)->node;
    n->packet.err = PORTICO_ECANCELED;
    packet_list_append(&dropped, n);
    queue_count_ended(q, 1);
  }
  member *wake = NULL;
  while (q->newest != NULL) queue_release_locked(q, q->newest, &wake);
  os_mutex_unlock(&q->lock);
  q->source->wake(q->backend);
  queue_wake(wake);
  port_monitor_stop(q);
  queue_drop_all(dropped.first, on_drop, arg);
  return dropped.count;
}

size_t port_queue_drop(port_queue *q, packet_list *l, void (*on_drop)(const port_packet *packet, void *arg),
                       void *arg) {
  size_t count = l->count;
  queue_count_ended(q, count);
  queue_drop_all(l->first, on_drop, arg);
  *l = (packet_list){0};
  return count;
}

void port_queue_await_unled(port_queue *q) {
  os_mutex_lock(&q->lock);
  while (q->leader != NULL) { /* uncovered: race: it was woken by the close and is mostly out by now */
    os_mutex_unlock(&q->lock);
    os_thread_yield();
    os_mutex_lock(&q->lock);
  }
  os_mutex_unlock(&q->lock);
}

bool port_queue_closed(port_queue *q) {
  return atomic_load_explicit(&q->closed, memory_order_relaxed);
}

void port_queue_fini(port_queue *q) {
  CHECK(q->closed && q->members == NULL);
  CHECK(queue_pending_locked(q) == 0); /* each operation that was started has ended, once */
  while (q->spare != NULL) {
    post_block *b = q->spare;
    q->spare = (post_block *)b->node.next;
    free(b);
  }
  heap_fini(&q->timers);
  os_mutex_fini(&q->lock);
}

void port_queue_stats(port_queue *q, port_stats *out_stats) {
  os_mutex_lock(&q->lock);
  *out_stats = (port_stats){.queued = q->queued,
                            .waiting = q->waiting,
                            .active = q->active,
                            .pending = queue_pending_locked(q)};
  os_mutex_unlock(&q->lock);
}
