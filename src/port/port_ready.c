/* port_ready.c - the completion port over a poller: readiness turned into completions.
 *
 * One poller (os/poller.h), every socket in it once, edge-triggered, for both directions. A handle remembers per
 * direction whether the kernel may have something (INPUT_READY, writable); an op is tried when it starts and whenever
 * an edge comes, and only the first of each direction touches the socket. The worker that polls is the leader of
 * port_queue.h. A receive without a buffer (recv_ready) leaves the data in the kernel until port_take.
 *
 * What happens for each message takes no lock: recv_ready, its event, port_take and port_try_send. The first two meet
 * in one atomic word (input): a recv_ready that waits sets INPUT_AWAITED, and whoever clears that bit, the leader, a
 * cancel or a close, ends it. The callers of the others are the only ones in their direction (port.h). A flag is
 * cleared before the system call that is to prove it wrong, never after: an edge that comes meanwhile sets it again
 * and is not lost. */
#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"
#include "os/poller.h"
#include "port/port_files.h"

enum { READY_EVENTS = SIZED(64, 2) }; /* with more, what one touches here has left the caches when its packet is run */

typedef struct ready_handle ready_handle;

/* Bits of ready_handle.input. */
enum {
  INPUT_READY = 1,   /* an edge came since the kernel last said "nothing there" */
  INPUT_ENDED = 2,   /* the peer's end, a reset or an error was announced: reading will tell, without another edge */
  INPUT_AWAITED = 4, /* a recv_ready waits: awaiting */
  INPUT_LINED = 8,   /* ops wait in line: recvs; changed under lock */
};

struct ready_handle {
  port_handle base;
  os_mutex    lock;
  _Atomic unsigned char input;
  _Atomic bool          writable; /* an edge came since the kernel last took nothing; set by the leader under lock */
  bool                  look;     /* the receiving side's: port_take has something to look for, edge or not */
  /* under lock */
  bool       registered; /* with the poller */
  bool       connected;
  bool       shut; /* our sending side */
  bool       closing;
  union {
    sock_line recvs;    /* while INPUT_LINED */
    sock_op  *awaiting; /* while INPUT_AWAITED: of whoever starts the recv_ready, then of whoever clears that bit */
  };
  union {
    sock_line    sends;
    ready_handle *next_dead; /* when closed; under the port's lock */
  };
};

typedef struct ready_port {
  port       base;
  port_queue queue;
  port_files files;
  os_poller  poller;
  _Atomic unsigned registered;           /* counts; orders what was written to a handle before its first event */
  os_mutex         lock;
  ready_handle    *dead;                 /* under lock: closed, but maybe named by events the leader still holds */
  os_poll_event    events[READY_EVENTS]; /* the leader's */
} ready_port;

static ready_port *ready_of(port *p) {
  return (ready_port *)p;
}

static port_queue *ready_queue(const ready_handle *h) {
  return &ready_of(h->base.port)->queue;
}

static bool flag_get(_Atomic bool *flag) {
  return atomic_load_explicit(flag, memory_order_acquire);
}

static void flag_set(_Atomic bool *flag, bool value) {
  atomic_store_explicit(flag, value, memory_order_release);
}

/* Clears a flag before the system call that proves it: what set it happened before that call. */
static void flag_clear(_Atomic bool *flag) {
  atomic_exchange_explicit(flag, false, memory_order_acq_rel);
}

static unsigned input_get(const ready_handle *h) {
  return atomic_load_explicit(&h->input, memory_order_acquire);
}

static void input_set(ready_handle *h, unsigned bits) {
  atomic_fetch_or_explicit(&h->input, (unsigned char)bits, memory_order_acq_rel);
}

/* result   what there was before */
static unsigned input_clear(ready_handle *h, unsigned bits) {
  return atomic_fetch_and_explicit(&h->input, (unsigned char)~bits, memory_order_acq_rel);
}

/* ---- ops ---- */

static sock_line *ready_line_of(ready_handle *h, const sock_op *op) {
  return sock_is_send(op) ? &h->sends : &h->recvs;
}

static bool ready_line_empty(const ready_handle *h, const sock_line *l) {
  return l == &h->recvs ? (input_get(h) & INPUT_LINED) == 0 : l->last == NULL;
}

static void ready_line_append(ready_handle *h, sock_line *l, sock_op *op) {
  if (ready_line_empty(h, l)) l->last = NULL;
  sock_line_append(l, op);
  if (l == &h->recvs) input_set(h, INPUT_LINED);
}

/* An op that was pending goes from its line to the packets. */
static void ready_op_end(ready_handle *h, sock_op *op, uint32_t bytes, int err, packet_list *out) {
  sock_line *l = ready_line_of(h, op);
  sock_line_remove(l, op);
  if (l == &h->recvs && l->last == NULL) input_clear(h, INPUT_LINED);
  sock_op_pack(op, bytes, err, out);
}

/* Ends the recv_ready, if there is one that nobody else ends. */
static bool ready_end_awaiting(ready_handle *h, int err, packet_list *out) {
  if ((input_clear(h, INPUT_AWAITED) & INPUT_AWAITED) == 0) return false;
  sock_op_pack(h->awaiting, 0, err, out);
  return true;
}

/* Takes the kernel's readiness for a direction away, to be set again by an edge, or when the try went well.
 * result   false: it was not ready */
static bool ready_edge_take(ready_handle *h, const sock_line *l) {
  if (l == &h->recvs) return (input_clear(h, INPUT_READY) & INPUT_READY) != 0;
  return atomic_exchange_explicit(&h->writable, false, memory_order_acq_rel);
}

static void ready_edge_give(ready_handle *h, const sock_line *l) {
  if (l == &h->recvs) input_set(h, INPUT_READY);
  else flag_set(&h->writable, true);
}

/* Tries the ops of a line in order while the kernel may have something for it. */
static void ready_line_progress(ready_handle *h, sock_line *l, packet_list *out) {
  while (!ready_line_empty(h, l) && ready_edge_take(h, l)) {
    sock_op *op = sock_line_first(l);
    int64_t   result = sock_try(op);
    if (result == PORTICO_EAGAIN) continue; /* unless an edge came meanwhile that was all */
    ready_edge_give(h, l);
    if (op->kind == SOCK_CONNECT && result == 0) h->connected = true;
    ready_op_end(h, op, sock_bytes(op, result), result < 0 ? (int)result : 0, out);
    /* Out of descriptors: the next accept would fail the same way. What is queued in the kernel will be tried again
     * when the owner starts its accept anew. */
    if (op->kind == SOCK_ACCEPT && result < 0) return;
  }
}

/* Starts an op: tries it at once if it is the first of its line, else lets it wait. */
static int ready_start(ready_handle *h, sock_op *op) {
  port_queue *q = ready_queue(h);
  sock_line *l = ready_line_of(h, op);
  int         err = sock_op_keep(op);
  if (err < 0) {
    os_mutex_unlock(&h->lock);
    return err;
  }
  packet_list ended = {0};
  port_queue_started(q);
  atomic_store_explicit(&op->pending, 1, memory_order_relaxed);
  ready_line_append(h, l, op);
  ready_line_progress(h, l, &ended); /* an edge after its look finds the op in line, and needs the lock */
  os_mutex_unlock(&h->lock);
  if (ended.count > 0) port_queue_complete(q, &ended);
  return 0;
}

/* ---- the leader ---- */

static void ready_bury(ready_port *p) {
  os_mutex_lock(&p->lock);
  ready_handle *h = p->dead;
  p->dead = NULL;
  os_mutex_unlock(&p->lock);
  while (h != NULL) {
    ready_handle *next = h->next_dead;
    os_mutex_fini(&h->lock);
    free(h);
    h = next;
  }
}

/* Notes what there is to receive: ends the recv_ready that waits for it, whose packet says so, or leaves the bit to who
 * comes next.
 * result   true: ops wait in line */
static bool ready_on_input(ready_handle *h, unsigned char bits, packet_list *out) {
  unsigned char before = atomic_load_explicit(&h->input, memory_order_relaxed);
  unsigned char after;
  do {
    after = before | bits;
    if ((before & INPUT_AWAITED) != 0) after &= (unsigned char)~(INPUT_AWAITED | INPUT_READY);
  } while (!atomic_compare_exchange_weak_explicit(&h->input, &before, after, memory_order_acq_rel,
                                                  memory_order_relaxed));
  if ((before & INPUT_AWAITED) != 0) {
    h->look = true;
    sock_op_pack(h->awaiting, 0, 0, out);
  }
  return (before & INPUT_LINED) != 0;
}

static void ready_on_event(ready_handle *h, uint32_t events, packet_list *out) {
  const uint32_t end = OS_POLL_END | OS_POLL_HUP | OS_POLL_ERR;
  bool           ended = (events & end) != 0;
  bool           lined = false;
  if (ended || (events & OS_POLL_IN) != 0) lined = ready_on_input(h, INPUT_READY | (ended ? INPUT_ENDED : 0), out);
  /* A send that waits has found the flag set, tried, and cleared it; each edge repeats what is known. */
  bool opens = (events & (OS_POLL_OUT | OS_POLL_HUP | OS_POLL_ERR)) != 0 && !flag_get(&h->writable);
  if (!lined && !opens) return;
  os_mutex_lock(&h->lock);
  if (!h->closing) {
    if (opens) flag_set(&h->writable, true);
    ready_line_progress(h, &h->recvs, out);
    ready_line_progress(h, &h->sends, out);
  }
  os_mutex_unlock(&h->lock);
}

static void ready_poll(void *backend, int64_t until_ns, packet_list *out) {
  ready_port *p = backend;
  ready_bury(p); /* none of them can be in the events to come */
  int n = os_poller_wait(&p->poller, p->events, READY_EVENTS, until_ns);
  atomic_load_explicit(&p->registered, memory_order_acquire);
  for (int i = 0; i < n; i++) {
    if (i + 1 < n) __builtin_prefetch(p->events[i + 1].owner, 1);
    if (p->events[i].owner != NULL) ready_on_event(p->events[i].owner, p->events[i].what, out);
  }
}

static void ready_wake(void *backend) {
  os_poller_wake(&((ready_port *)backend)->poller);
}

static const port_source ready_source = {.poll = ready_poll, .wake = ready_wake};

/* ---- the port ---- */

static int ready_port_open(const port_options *options, port **out_port) {
  ready_port *p = calloc(1, sizeof *p);
  if (p == NULL) return PORTICO_ENOMEM;
  int err = os_poller_open(&p->poller);
  if (err < 0) goto undo_mem;
  os_mutex_init(&p->lock);
  err = port_queue_init(&p->queue, &p->base, options, &ready_source, p);
  if (err < 0) goto undo_poller;
  port_files_init(&p->files, &p->queue);
  *out_port = &p->base;
  return 0;
undo_poller:
  os_mutex_fini(&p->lock);
  os_poller_close(&p->poller);
undo_mem:
  free(p);
  return err;
}

static size_t ready_port_close(port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  port_files_stop(&ready_of(p)->files);
  return port_queue_close(&ready_of(p)->queue, on_drop, arg);
}

static void ready_port_destroy(port *base) {
  ready_port *p = ready_of(base);
  ready_bury(p);
  port_files_fini(&p->files);
  port_queue_fini(&p->queue);
  os_mutex_fini(&p->lock);
  os_poller_close(&p->poller);
  free(p);
}

static unsigned ready_caps(const port *p) {
  bool     monitored = OS_THREAD_TELLS_SLEEP && ((const ready_port *)p)->queue.monitor.started;
  unsigned monitor = monitored ? PORT_CAP_MONITOR : 0;
  return PORT_CAP_LIFO | PORT_CAP_CONCURRENCY | monitor;
}

static unsigned ready_concurrency(const port *p) {
  return ((const ready_port *)p)->queue.max;
}

static int ready_get(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key) {
  return port_queue_get(&ready_of(p)->queue, out_packets, max, timeout_ns, one_key);
}

static int ready_post(port *p, void *key, port_op *op, uint32_t bytes) {
  return port_queue_post(&ready_of(p)->queue, key, op, bytes);
}

static int ready_post_op(port *p, void *key, port_op *op) {
  return sock_post(&ready_of(p)->queue, op, key);
}

static void ready_stats(port *p, port_stats *out_stats) {
  port_queue_stats(&ready_of(p)->queue, out_stats);
}

static int ready_timer(port *p, port_op *op, void *key, int64_t due_ns) {
  return sock_timer(&ready_of(p)->queue, op, key, due_ns);
}

/* ---- handles ---- */

static int ready_register(ready_handle *h) {
  ready_port *p = ready_of(h->base.port);
  atomic_fetch_add_explicit(&p->registered, 1, memory_order_release);
  int err = (h->registered ? os_poller_again : os_poller_add)(&p->poller, h->base.socket, h);
  if (err == 0) h->registered = true;
  return err;
}

static int ready_attach(port *p, port_handle *base) {
  ready_handle *h = (ready_handle *)base;
  if (port_queue_closed(&ready_of(p)->queue)) return PORTICO_ECLOSED;
  if (base->kind == PORT_FILE) return 0; /* all about it is in p->files; the poller has no word for it */
  os_mutex_init(&h->lock);
  h->connected = base->kind == PORT_STREAM && os_socket_was_connected(base->socket);
  flag_set(&h->writable, base->kind == PORT_DATAGRAM || h->connected);
  if (base->kind != PORT_STREAM) input_set(h, INPUT_READY); /* a stream's first edge tells */
  /* A stream that is not connected would only announce that it hangs; it is registered by its connect. */
  int err = base->kind == PORT_STREAM && !h->connected ? 0 : ready_register(h);
  if (err < 0) os_mutex_fini(&h->lock);
  return err;
}

static int ready_cancel_line(ready_handle *h, sock_line *l, packet_list *out) {
  int n = 0;
  for (; !ready_line_empty(h, l); n++) {
    sock_op *op = sock_line_first(l);
    ready_op_end(h, op, sock_bytes(op, PORTICO_ECANCELED), PORTICO_ECANCELED, out);
  }
  return n;
}

static int ready_cancel_lines(ready_handle *h, packet_list *out) {
  int n = ready_end_awaiting(h, PORTICO_ECANCELED, out) ? 1 : 0;
  return n + ready_cancel_line(h, &h->recvs, out) + ready_cancel_line(h, &h->sends, out);
}

static void ready_handle_close(port_handle *base, bool abort) {
  ready_handle *h = (ready_handle *)base;
  ready_port   *p = ready_of(base->port);
  packet_list   ended = {0};
  if (base->kind == PORT_FILE) {
    port_files_close(&p->files, base);
    return;
  }
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  h->closing = true;
  /* Out of the poller before the number is free for reuse; a descriptor that others share would stay in. */
  if (h->registered) os_poller_remove(&p->poller, base->socket);
  if (abort) os_socket_set_reset_on_close(base->socket);
  os_socket_close(base->socket);
  ready_cancel_lines(h, &ended);
  os_mutex_unlock(&h->lock);
  port_queue_complete(&p->queue, &ended);
  os_mutex_lock(&p->lock);
  h->next_dead = p->dead;
  p->dead = h;
  os_mutex_unlock(&p->lock);
  port_unref(&p->base);
}

/* ---- starting ops: each takes the handle's lock and leaves it to ready_start, or gives it back on an error ---- */

/* Locks h if an op may start on it. */
static int ready_enter(ready_handle *h, bool needs_peer) {
  if (port_queue_closed(ready_queue(h))) return PORTICO_ECLOSED;
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  if (!needs_peer || h->connected) return 0;
  os_mutex_unlock(&h->lock);
  return PORTICO_ENOTCONN;
}

static int ready_leave(ready_handle *h, int err) {
  os_mutex_unlock(&h->lock);
  return err;
}

static int ready_accept(port_handle *base, port_op *base_op) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, false);
  if (err < 0) return err;
  sock_op *op = sock_op_init(base_op, base, SOCK_ACCEPT);
  op->accepted.socket = OS_SOCKET_NONE;
  return ready_start(h, op);
}

static os_socket ready_accepted(port_op *base_op, os_addr *out_peer) {
  sock_op *op = (sock_op *)base_op;
  os_socket s = op->accepted.socket;
  op->accepted.socket = OS_SOCKET_NONE;
  if (out_peer != NULL) *out_peer = op->accepted.peer;
  return s;
}

static int ready_connect(port_handle *base, port_op *base_op, const os_addr *to) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, false);
  if (err < 0) return err;
  if (h->connected || h->sends.last != NULL) return ready_leave(h, PORTICO_EISCONN);
  err = os_socket_connect(base->socket, to);
  if (err < 0 && err != PORTICO_EAGAIN) return ready_leave(h, err);
  flag_set(&h->writable, false);
  input_clear(h, INPUT_READY | INPUT_ENDED);
  err = ready_register(h);
  if (err < 0) return ready_leave(h, err);
  sock_op *op = sock_op_init(base_op, base, SOCK_CONNECT);
  flag_set(&h->writable, true); /* it may have succeeded at once */
  return ready_start(h, op);
}

static int ready_recv(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, true);
  if (err < 0) return err;
  if ((input_get(h) & INPUT_AWAITED) != 0) return ready_leave(h, PORTICO_EINVAL);
  sock_op *op = sock_op_init(base_op, base, SOCK_RECV);
  sock_op_use(op, bufs, count, NULL);
  input_set(h, INPUT_READY); /* the last take may have left something: one try tells */
  return ready_start(h, op);
}

static int ready_recv_ready(port_handle *base, port_op *base_op) {
  ready_handle *h = (ready_handle *)base;
  port_queue   *q = ready_queue(h);
  unsigned char before = (unsigned char)input_get(h);
  if (port_queue_closed(q)) return PORTICO_ECLOSED;
  if (!h->connected) return PORTICO_ENOTCONN;
  if ((before & (INPUT_AWAITED | INPUT_LINED)) != 0) return PORTICO_EINVAL;
  CHECK(!h->closing);
  sock_op *op = sock_op_init(base_op, base, SOCK_RECV_READY);
  port_queue_started(q);
  bool look = h->look;
  if (!look) {
    atomic_store_explicit(&op->pending, 1, memory_order_relaxed);
    h->awaiting = op;
    unsigned char after;
    do {
      look = (before & INPUT_READY) != 0;
      after = look ? before & (unsigned char)~INPUT_READY : before | INPUT_AWAITED;
    } while (!atomic_compare_exchange_weak_explicit(&h->input, &before, after, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if (!look) return 0;
    h->look = true;
  }
  packet_list ended = {0};
  sock_op_pack(op, 0, 0, &ended);
  port_queue_complete(q, &ended);
  return 0;
}

static int64_t ready_take(port_handle *base, port_op *op, void *scratch, size_t cap, const void **out_data) {
  (void)op;
  ready_handle *h = (ready_handle *)base;
  CHECK(!h->closing);
  if ((input_get(h) & INPUT_READY) != 0) input_clear(h, INPUT_READY);
  int64_t n = os_socket_recv(base->socket, scratch, cap);
  /* A short read has emptied the kernel's buffer, so the next edge tells; but the peer's end, if it was announced, is
   * still to be read. */
  h->look = n == (int64_t)cap || ((input_get(h) & INPUT_ENDED) != 0 && n != PORTICO_EAGAIN);
  if (n > 0) *out_data = scratch;
  return n;
}

static int ready_send(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, true);
  if (err < 0) return err;
  if (h->shut) return ready_leave(h, PORTICO_ESHUTDOWN);
  sock_op *op = sock_op_init(base_op, base, SOCK_SEND);
  sock_op_use(op, bufs, count, NULL);
  return ready_start(h, op);
}

static int64_t ready_try_send_now(port_handle *base, const port_buf *bufs, unsigned count) {
  ready_handle *h = (ready_handle *)base;
  CHECK(!h->closing);
  if (port_queue_closed(ready_queue(h))) return PORTICO_ECLOSED;
  if (!h->connected) return PORTICO_ENOTCONN;
  if (h->shut) return PORTICO_ESHUTDOWN;
  if (h->sends.last != NULL || !flag_get(&h->writable)) return PORTICO_EAGAIN;
  int64_t result = sock_offer(base->socket, bufs, count);
  if (result != PORTICO_EAGAIN) return result;
  flag_clear(&h->writable);
  return sock_offer(base->socket, bufs, count); /* an edge between the two may have been the last */
}

static int ready_recv_from(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count,
                           os_addr *out_from) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, false);
  if (err < 0) return err;
  sock_op *op = sock_op_init(base_op, base, SOCK_RECV_FROM);
  sock_op_use(op, bufs, count, out_from);
  return ready_start(h, op);
}

static int ready_send_to(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, const os_addr *to) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, false);
  if (err < 0) return err;
  sock_op *op = sock_op_init(base_op, base, SOCK_SEND_TO);
  sock_op_use(op, bufs, count, (os_addr *)to);
  return ready_start(h, op);
}

static int ready_shutdown_send(port_handle *base) {
  ready_handle *h = (ready_handle *)base;
  int           err = ready_enter(h, true);
  if (err < 0) return err;
  if (h->shut) return ready_leave(h, PORTICO_ESHUTDOWN);
  h->shut = true;
  return ready_leave(h, os_socket_shutdown_send(base->socket));
}

static int ready_file(port_handle *h, port_op *op, port_file_what what, void *data, uint32_t len, uint64_t offset) {
  return port_files_start(&ready_of(h->port)->files, h, op, what, data, len, offset);
}

/* ---- cancel ---- */

static int ready_cancel(port_op *base) {
  sock_op *op = (sock_op *)base;
  if (op->kind == SOCK_TIMER) return port_queue_timer_cancel(op->queue, &op->timer);
  if (!atomic_load_explicit(&op->pending, memory_order_acquire)) return PORTICO_ENOTFOUND;
  if (sock_is_file(op)) return port_files_cancel(op);
  ready_handle *h = (ready_handle *)op->handle;
  packet_list   ended = {0};
  os_mutex_lock(&h->lock);
  if (op->kind == SOCK_RECV_READY) {
    ready_end_awaiting(h, PORTICO_ECANCELED, &ended);
  } else if (atomic_load_explicit(&op->pending, memory_order_relaxed)) { /* uncovered: race: it has just ended */
    ready_op_end(h, op, sock_bytes(op, PORTICO_ECANCELED), PORTICO_ECANCELED, &ended);
  }
  os_mutex_unlock(&h->lock);
  if (ended.count == 0) return PORTICO_ENOTFOUND; /* uncovered: race: it ended by itself meanwhile */
  port_queue_complete(ready_queue(h), &ended);
  return 0;
}

static int ready_cancel_all(port_handle *base) {
  ready_handle *h = (ready_handle *)base;
  packet_list   ended = {0};
  if (base->kind == PORT_FILE) return port_files_cancel_all(&ready_of(base->port)->files, base);
  os_mutex_lock(&h->lock);
  int n = ready_cancel_lines(h, &ended);
  os_mutex_unlock(&h->lock);
  port_queue_complete(ready_queue(h), &ended);
  return n;
}

/* ---- the backends ---- */

/* They differ by where they are opened: the poller is of the calling thread's world, or of the kernel. */
#define READY_BACKEND(backend_name) \
  { \
    .name = (backend_name), .open = ready_port_open, \
    .caps = ready_caps, .concurrency = ready_concurrency, .close = ready_port_close, \
    .destroy = ready_port_destroy, .get = ready_get, .post = ready_post, .post_op = ready_post_op, \
    .stats = ready_stats, .timer = ready_timer, .handle_bytes = sizeof(ready_handle), .attach = ready_attach, \
    .handle_close = ready_handle_close, .accept = ready_accept, .accepted = ready_accepted, \
    .connect = ready_connect, .recv = ready_recv, .recv_ready = ready_recv_ready, .take = ready_take, \
    .send = ready_send, .try_send = ready_try_send_now, .send_soon = ready_try_send_now, \
    .recv_from = ready_recv_from, .send_to = ready_send_to, .shutdown_send = ready_shutdown_send, \
    .file = ready_file, .cancel = ready_cancel, .cancel_all = ready_cancel_all, \
  }

#ifdef __linux__
const port_backend port_epoll = READY_BACKEND("epoll");
#endif
const port_backend port_sim = READY_BACKEND("sim");
