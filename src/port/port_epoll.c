/* port_epoll.c - the completion port over epoll: readiness turned into completions.
 *
 * One epoll descriptor, every socket registered once, edge-triggered, for both directions. A handle remembers per
 * direction whether the kernel may have something (INPUT_READY, writable); an op is tried when it starts and whenever
 * an edge comes, and only the first of each direction touches the socket. The worker that polls is the leader of
 * port_queue.h. A receive without a buffer (recv_ready) leaves the data in the kernel until port_take.
 *
 * What happens for each message takes no lock: recv_ready, its event, port_take and port_try_send. The first two meet
 * in one atomic word (input): a recv_ready that waits sets INPUT_AWAITED, and whoever clears that bit, the leader, a
 * cancel or a close, ends it. The callers of the others are the only ones in their direction (port.h). A flag is
 * cleared before the system call that is to prove it wrong, never after: an edge that comes meanwhile sets it again
 * and is not lost. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "port/port_posix.h"

enum { EPOLL_EVENTS = 64 }; /* with more, what one touches here has left the caches when its packet is run */

typedef struct epoll_handle epoll_handle;

/* Bits of epoll_handle.input. */
enum {
  INPUT_READY = 1,   /* an edge came since the kernel last said "nothing there" */
  INPUT_ENDED = 2,   /* the peer's end, a reset or an error was announced: reading will tell, without another edge */
  INPUT_AWAITED = 4, /* a recv_ready waits: awaiting */
  INPUT_LINED = 8,   /* ops wait in line: recvs; changed under lock */
};

struct epoll_handle {
  port_handle base;
  os_mutex    lock;
  _Atomic unsigned char input;
  _Atomic bool          writable; /* an edge came since the kernel last took nothing; set by the leader under lock */
  bool                  look;     /* the receiving side's: port_take has something to look for, edge or not */
  /* under lock */
  bool       registered; /* with epoll */
  bool       connected;
  bool       shut; /* our sending side */
  bool       closing;
  union {
    posix_line recvs;    /* while INPUT_LINED */
    posix_op  *awaiting; /* while INPUT_AWAITED: of whoever starts the recv_ready, then of whoever clears that bit */
  };
  union {
    posix_line    sends;
    epoll_handle *next_dead; /* when closed; under the port's lock */
  };
};

typedef struct epoll_port {
  port       base;
  port_queue queue;
  int        epoll, wake; /* descriptors; fixed */
  _Atomic unsigned   registered;           /* counts; orders what was written to a handle before its first event */
  os_mutex   lock;
  epoll_handle      *dead;                 /* under lock: closed, but maybe named by events the leader still holds */
  struct epoll_event events[EPOLL_EVENTS]; /* the leader's */
} epoll_port;

static epoll_port *epoll_of(port *p) {
  return (epoll_port *)p;
}

static port_queue *epoll_queue(const epoll_handle *h) {
  return &epoll_of(h->base.port)->queue;
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

static unsigned input_get(const epoll_handle *h) {
  return atomic_load_explicit(&h->input, memory_order_acquire);
}

static void input_set(epoll_handle *h, unsigned bits) {
  atomic_fetch_or_explicit(&h->input, (unsigned char)bits, memory_order_acq_rel);
}

/* result   what there was before */
static unsigned input_clear(epoll_handle *h, unsigned bits) {
  return atomic_fetch_and_explicit(&h->input, (unsigned char)~bits, memory_order_acq_rel);
}

/* ---- ops ---- */

static posix_line *epoll_line_of(epoll_handle *h, const posix_op *op) {
  return posix_is_send(op) ? &h->sends : &h->recvs;
}

static bool epoll_line_empty(const epoll_handle *h, const posix_line *l) {
  return l == &h->recvs ? (input_get(h) & INPUT_LINED) == 0 : l->last == NULL;
}

static void epoll_line_append(epoll_handle *h, posix_line *l, posix_op *op) {
  if (epoll_line_empty(h, l)) l->last = NULL;
  posix_line_append(l, op);
  if (l == &h->recvs) input_set(h, INPUT_LINED);
}

/* An op that was pending goes from its line to the packets. */
static void epoll_op_end(epoll_handle *h, posix_op *op, uint32_t bytes, int err, packet_list *out) {
  posix_line *l = epoll_line_of(h, op);
  posix_line_remove(l, op);
  if (l == &h->recvs && l->last == NULL) input_clear(h, INPUT_LINED);
  posix_op_pack(op, bytes, err, out);
}

/* Ends the recv_ready, if there is one that nobody else ends. */
static bool epoll_end_awaiting(epoll_handle *h, int err, packet_list *out) {
  if ((input_clear(h, INPUT_AWAITED) & INPUT_AWAITED) == 0) return false;
  posix_op_pack(h->awaiting, 0, err, out);
  return true;
}

/* Takes the kernel's readiness for a direction away, to be set again by an edge, or when the try went well.
 * result   false: it was not ready */
static bool epoll_ready_take(epoll_handle *h, const posix_line *l) {
  if (l == &h->recvs) return (input_clear(h, INPUT_READY) & INPUT_READY) != 0;
  return atomic_exchange_explicit(&h->writable, false, memory_order_acq_rel);
}

static void epoll_ready_give(epoll_handle *h, const posix_line *l) {
  if (l == &h->recvs) input_set(h, INPUT_READY);
  else flag_set(&h->writable, true);
}

/* Tries the ops of a line in order while the kernel may have something for it. */
static void epoll_line_progress(epoll_handle *h, posix_line *l, packet_list *out) {
  while (!epoll_line_empty(h, l) && epoll_ready_take(h, l)) {
    posix_op *op = posix_line_first(l);
    int64_t   result = posix_try(op);
    if (result == PORTICO_EAGAIN) continue; /* unless an edge came meanwhile that was all */
    epoll_ready_give(h, l);
    if (op->kind == POSIX_CONNECT && result == 0) h->connected = true;
    epoll_op_end(h, op, posix_bytes(op, result), result < 0 ? (int)result : 0, out);
    /* Out of descriptors: the next accept would fail the same way. What is queued in the kernel will be tried again
     * when the owner starts its accept anew. */
    if (op->kind == POSIX_ACCEPT && result < 0) return;
  }
}

/* Starts an op: tries it at once if it is the first of its line, else lets it wait. */
static int epoll_start(epoll_handle *h, posix_op *op) {
  port_queue *q = epoll_queue(h);
  posix_line *l = epoll_line_of(h, op);
  int         err = posix_op_keep(op);
  if (err < 0) {
    os_mutex_unlock(&h->lock);
    return err;
  }
  packet_list ended = {0};
  port_queue_started(q);
  atomic_store_explicit(&op->pending, 1, memory_order_relaxed);
  epoll_line_append(h, l, op);
  epoll_line_progress(h, l, &ended); /* an edge after its look finds the op in line, and needs the lock */
  os_mutex_unlock(&h->lock);
  if (ended.count > 0) port_queue_complete(q, &ended);
  return 0;
}

/* ---- the leader ---- */

static void epoll_bury(epoll_port *p) {
  os_mutex_lock(&p->lock);
  epoll_handle *h = p->dead;
  p->dead = NULL;
  os_mutex_unlock(&p->lock);
  while (h != NULL) {
    epoll_handle *next = h->next_dead;
    os_mutex_fini(&h->lock);
    free(h);
    h = next;
  }
}

/* Notes what there is to receive: ends the recv_ready that waits for it, whose packet says so, or leaves the bit to who
 * comes next.
 * result   true: ops wait in line */
static bool epoll_on_input(epoll_handle *h, unsigned char bits, packet_list *out) {
  unsigned char before = atomic_load_explicit(&h->input, memory_order_relaxed);
  unsigned char after;
  do {
    after = before | bits;
    if ((before & INPUT_AWAITED) != 0) after &= (unsigned char)~(INPUT_AWAITED | INPUT_READY);
  } while (!atomic_compare_exchange_weak_explicit(&h->input, &before, after, memory_order_acq_rel,
                                                  memory_order_relaxed));
  if ((before & INPUT_AWAITED) != 0) {
    h->look = true;
    posix_op_pack(h->awaiting, 0, 0, out);
  }
  return (before & INPUT_LINED) != 0;
}

static void epoll_on_event(epoll_handle *h, uint32_t events, packet_list *out) {
  const uint32_t end = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  bool           ended = (events & end) != 0;
  bool           lined = false;
  if (ended || (events & EPOLLIN) != 0) lined = epoll_on_input(h, INPUT_READY | (ended ? INPUT_ENDED : 0), out);
  /* A send that waits has found the flag set, tried, and cleared it; each edge repeats what is known. */
  bool opens = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0 && !flag_get(&h->writable);
  if (!lined && !opens) return;
  os_mutex_lock(&h->lock);
  if (!h->closing) {
    if (opens) flag_set(&h->writable, true);
    epoll_line_progress(h, &h->recvs, out);
    epoll_line_progress(h, &h->sends, out);
  }
  os_mutex_unlock(&h->lock);
}

static int epoll_wait_until(epoll_port *p, int64_t until_ns) {
  struct timespec limit = {0};
  int64_t         left = 0;
  if (until_ns != INT64_MAX && until_ns != 0) left = until_ns - os_clock_now();
  if (left > 0) limit = (struct timespec){.tv_sec = left / OS_NS_PER_S, .tv_nsec = left % OS_NS_PER_S};
  int n = epoll_pwait2(p->epoll, p->events, EPOLL_EVENTS, until_ns == INT64_MAX ? NULL : &limit, NULL);
  if (n < 0 && errno == ENOSYS) { /* Linux before 5.11: whole milliseconds, rounded up */
    int64_t ms = (left + OS_NS_PER_MS - 1) / OS_NS_PER_MS;
    int     wait_ms = until_ns == INT64_MAX ? -1 : left <= 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
    n = epoll_wait(p->epoll, p->events, EPOLL_EVENTS, wait_ms);
  }
  return n;
}

static void epoll_poll(void *backend, int64_t until_ns, packet_list *out) {
  epoll_port *p = backend;
  epoll_bury(p); /* none of them can be in the events to come */
  int n = epoll_wait_until(p, until_ns);
  atomic_load_explicit(&p->registered, memory_order_acquire);
  for (int i = 0; i < n; i++) {
    if (i + 1 < n) __builtin_prefetch(p->events[i + 1].data.ptr, 1);
    if (p->events[i].data.ptr != NULL) epoll_on_event(p->events[i].data.ptr, p->events[i].events, out);
  }
}

static void epoll_wake(void *backend) {
  epoll_port *p = backend;
  uint64_t    one = 1;
  /* Edge-triggered and never read: each write is an edge. It cannot fill up in a human lifetime. */
  ssize_t n = write(p->wake, &one, sizeof one);
  CHECK(n == sizeof one);
}

static const port_source epoll_source = {.poll = epoll_poll, .wake = epoll_wake};

/* ---- the port ---- */

static int epoll_open_descriptors(epoll_port *p) {
  p->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (p->epoll < 0) return os_error(errno);
  p->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
  if (p->wake >= 0 && epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev) == 0) return 0;
  int err = os_error(errno);
  if (p->wake >= 0) close(p->wake);
  close(p->epoll);
  return err;
}

static int epoll_port_open(const port_options *options, port **out_port) {
  epoll_port *p = calloc(1, sizeof *p);
  if (p == NULL) return PORTICO_ENOMEM;
  int err = epoll_open_descriptors(p);
  if (err < 0) goto undo_mem;
  os_mutex_init(&p->lock);
  err = port_queue_init(&p->queue, &p->base, options, &epoll_source, p);
  if (err < 0) goto undo_descriptors;
  *out_port = &p->base;
  return 0;
undo_descriptors:
  os_mutex_fini(&p->lock);
  close(p->wake);
  close(p->epoll);
undo_mem:
  free(p);
  return err;
}

static size_t epoll_port_close(port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  return port_queue_close(&epoll_of(p)->queue, on_drop, arg);
}

static void epoll_port_destroy(port *base) {
  epoll_port *p = epoll_of(base);
  epoll_bury(p);
  port_queue_fini(&p->queue);
  os_mutex_fini(&p->lock);
  close(p->wake);
  close(p->epoll);
  free(p);
}

static unsigned epoll_caps(const port *p) {
  unsigned monitor = ((const epoll_port *)p)->queue.monitor.started ? PORT_CAP_MONITOR : 0;
  return PORT_CAP_LIFO | PORT_CAP_CONCURRENCY | monitor;
}

static unsigned epoll_concurrency(const port *p) {
  return ((const epoll_port *)p)->queue.max;
}

static int epoll_get(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key) {
  return port_queue_get(&epoll_of(p)->queue, out_packets, max, timeout_ns, one_key);
}

static int epoll_post(port *p, void *key, port_op *op, uint32_t bytes) {
  return port_queue_post(&epoll_of(p)->queue, key, op, bytes);
}

static void epoll_stats(port *p, port_stats *out_stats) {
  port_queue_stats(&epoll_of(p)->queue, out_stats);
}

static int epoll_timer(port *p, port_op *op, void *key, int64_t due_ns) {
  return posix_timer(&epoll_of(p)->queue, op, key, due_ns);
}

/* ---- handles ---- */

static int epoll_register(epoll_handle *h) {
  atomic_fetch_add_explicit(&epoll_of(h->base.port)->registered, 1, memory_order_release);
  struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = h};
  int                how = h->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD; /* a change makes the kernel look again */
  if (epoll_ctl(epoll_of(h->base.port)->epoll, how, h->base.socket, &ev) < 0) {
    return errno == EEXIST || errno == EPERM ? PORTICO_EINVAL : os_error(errno);
  }
  h->registered = true;
  return 0;
}

static int epoll_attach(port *p, port_handle *base) {
  epoll_handle *h = (epoll_handle *)base;
  if (port_queue_closed(&epoll_of(p)->queue)) return PORTICO_ECLOSED;
  os_mutex_init(&h->lock);
  h->connected = base->kind == PORT_STREAM && posix_was_connected(base->socket);
  flag_set(&h->writable, base->kind == PORT_DATAGRAM || h->connected);
  if (base->kind != PORT_STREAM) input_set(h, INPUT_READY); /* a stream's first edge tells */
  /* A stream that is not connected would only announce that it hangs; it is registered by its connect. */
  int err = base->kind == PORT_STREAM && !h->connected ? 0 : epoll_register(h);
  if (err < 0) os_mutex_fini(&h->lock);
  return err;
}

static int epoll_cancel_line(epoll_handle *h, posix_line *l, packet_list *out) {
  int n = 0;
  for (; !epoll_line_empty(h, l); n++) {
    posix_op *op = posix_line_first(l);
    epoll_op_end(h, op, posix_bytes(op, PORTICO_ECANCELED), PORTICO_ECANCELED, out);
  }
  return n;
}

static int epoll_cancel_lines(epoll_handle *h, packet_list *out) {
  int n = epoll_end_awaiting(h, PORTICO_ECANCELED, out) ? 1 : 0;
  return n + epoll_cancel_line(h, &h->recvs, out) + epoll_cancel_line(h, &h->sends, out);
}

static void epoll_handle_close(port_handle *base, bool abort) {
  epoll_handle *h = (epoll_handle *)base;
  epoll_port   *p = epoll_of(base->port);
  packet_list   ended = {0};
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  h->closing = true;
  /* Out of epoll before the number is free for reuse; a descriptor that others share would stay in. */
  if (h->registered) epoll_ctl(p->epoll, EPOLL_CTL_DEL, base->socket, NULL);
  if (abort) os_socket_set_reset_on_close(base->socket);
  os_socket_close(base->socket);
  epoll_cancel_lines(h, &ended);
  os_mutex_unlock(&h->lock);
  port_queue_complete(&p->queue, &ended);
  os_mutex_lock(&p->lock);
  h->next_dead = p->dead;
  p->dead = h;
  os_mutex_unlock(&p->lock);
  port_unref(&p->base);
}

/* ---- starting ops: each takes the handle's lock and leaves it to epoll_start, or gives it back on an error ---- */

/* Locks h if an op may start on it. */
static int epoll_enter(epoll_handle *h, bool needs_peer) {
  if (port_queue_closed(epoll_queue(h))) return PORTICO_ECLOSED;
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  if (!needs_peer || h->connected) return 0;
  os_mutex_unlock(&h->lock);
  return PORTICO_ENOTCONN;
}

static int epoll_leave(epoll_handle *h, int err) {
  os_mutex_unlock(&h->lock);
  return err;
}

static int epoll_accept(port_handle *base, port_op *base_op) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, false);
  if (err < 0) return err;
  posix_op *op = posix_op_init(base_op, base, POSIX_ACCEPT);
  op->accepted.socket = OS_SOCKET_NONE;
  return epoll_start(h, op);
}

static os_socket epoll_accepted(port_op *base_op, os_addr *out_peer) {
  posix_op *op = (posix_op *)base_op;
  os_socket s = op->accepted.socket;
  op->accepted.socket = OS_SOCKET_NONE;
  if (out_peer != NULL) *out_peer = op->accepted.peer;
  return s;
}

static int epoll_connect(port_handle *base, port_op *base_op, const os_addr *to) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, false);
  if (err < 0) return err;
  if (h->connected || h->sends.last != NULL) return epoll_leave(h, PORTICO_EISCONN);
  err = os_socket_connect(base->socket, to);
  if (err < 0 && err != PORTICO_EAGAIN) return epoll_leave(h, err);
  flag_set(&h->writable, false);
  input_clear(h, INPUT_READY | INPUT_ENDED);
  err = epoll_register(h);
  if (err < 0) return epoll_leave(h, err);
  posix_op *op = posix_op_init(base_op, base, POSIX_CONNECT);
  flag_set(&h->writable, true); /* it may have succeeded at once */
  return epoll_start(h, op);
}

static int epoll_recv(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, true);
  if (err < 0) return err;
  if ((input_get(h) & INPUT_AWAITED) != 0) return epoll_leave(h, PORTICO_EINVAL);
  posix_op *op = posix_op_init(base_op, base, POSIX_RECV);
  posix_op_use(op, bufs, count, NULL);
  input_set(h, INPUT_READY); /* the last take may have left something: one try tells */
  return epoll_start(h, op);
}

static int epoll_recv_ready(port_handle *base, port_op *base_op) {
  epoll_handle *h = (epoll_handle *)base;
  port_queue   *q = epoll_queue(h);
  unsigned char before = (unsigned char)input_get(h);
  if (port_queue_closed(q)) return PORTICO_ECLOSED;
  if (!h->connected) return PORTICO_ENOTCONN;
  if ((before & (INPUT_AWAITED | INPUT_LINED)) != 0) return PORTICO_EINVAL;
  CHECK(!h->closing);
  posix_op *op = posix_op_init(base_op, base, POSIX_RECV_READY);
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
  posix_op_pack(op, 0, 0, &ended);
  port_queue_complete(q, &ended);
  return 0;
}

static int64_t epoll_take(port_handle *base, port_op *op, void *scratch, size_t cap, const void **out_data) {
  (void)op;
  epoll_handle *h = (epoll_handle *)base;
  CHECK(!h->closing);
  if ((input_get(h) & INPUT_READY) != 0) input_clear(h, INPUT_READY);
  int64_t n = os_socket_recv(base->socket, scratch, cap);
  /* A short read has emptied the kernel's buffer, so the next edge tells; but the peer's end, if it was announced, is
   * still to be read. */
  h->look = n == (int64_t)cap || ((input_get(h) & INPUT_ENDED) != 0 && n != PORTICO_EAGAIN);
  if (n > 0) *out_data = scratch;
  return n;
}

static int epoll_send(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, true);
  if (err < 0) return err;
  if (h->shut) return epoll_leave(h, PORTICO_ESHUTDOWN);
  posix_op *op = posix_op_init(base_op, base, POSIX_SEND);
  posix_op_use(op, bufs, count, NULL);
  return epoll_start(h, op);
}

static int64_t epoll_try_send_now(port_handle *base, const port_buf *bufs, unsigned count) {
  epoll_handle *h = (epoll_handle *)base;
  CHECK(!h->closing);
  if (port_queue_closed(epoll_queue(h))) return PORTICO_ECLOSED;
  if (!h->connected) return PORTICO_ENOTCONN;
  if (h->shut) return PORTICO_ESHUTDOWN;
  if (h->sends.last != NULL || !flag_get(&h->writable)) return PORTICO_EAGAIN;
  int64_t result = posix_offer(base->socket, bufs, count);
  if (result != PORTICO_EAGAIN) return result;
  flag_clear(&h->writable);
  return posix_offer(base->socket, bufs, count); /* an edge between the two may have been the last */
}

static int epoll_recv_from(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count,
                           os_addr *out_from) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, false);
  if (err < 0) return err;
  posix_op *op = posix_op_init(base_op, base, POSIX_RECV_FROM);
  posix_op_use(op, bufs, count, out_from);
  return epoll_start(h, op);
}

static int epoll_send_to(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, const os_addr *to) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, false);
  if (err < 0) return err;
  posix_op *op = posix_op_init(base_op, base, POSIX_SEND_TO);
  posix_op_use(op, bufs, count, (os_addr *)to);
  return epoll_start(h, op);
}

static int epoll_shutdown_send(port_handle *base) {
  epoll_handle *h = (epoll_handle *)base;
  int           err = epoll_enter(h, true);
  if (err < 0) return err;
  if (h->shut) return epoll_leave(h, PORTICO_ESHUTDOWN);
  h->shut = true;
  return epoll_leave(h, os_socket_shutdown_send(base->socket));
}

/* ---- cancel ---- */

static int epoll_cancel(port_op *base) {
  posix_op *op = (posix_op *)base;
  if (op->kind == POSIX_TIMER) return port_queue_timer_cancel(op->queue, &op->timer);
  if (!atomic_load_explicit(&op->pending, memory_order_acquire)) return PORTICO_ENOTFOUND;
  epoll_handle *h = (epoll_handle *)op->handle;
  packet_list   ended = {0};
  os_mutex_lock(&h->lock);
  if (op->kind == POSIX_RECV_READY) {
    epoll_end_awaiting(h, PORTICO_ECANCELED, &ended);
  } else if (atomic_load_explicit(&op->pending, memory_order_relaxed)) {
    epoll_op_end(h, op, posix_bytes(op, PORTICO_ECANCELED), PORTICO_ECANCELED, &ended);
  }
  os_mutex_unlock(&h->lock);
  if (ended.count == 0) return PORTICO_ENOTFOUND; /* it ended by itself meanwhile */
  port_queue_complete(epoll_queue(h), &ended);
  return 0;
}

static int epoll_cancel_all(port_handle *base) {
  epoll_handle *h = (epoll_handle *)base;
  packet_list   ended = {0};
  os_mutex_lock(&h->lock);
  int n = epoll_cancel_lines(h, &ended);
  os_mutex_unlock(&h->lock);
  port_queue_complete(epoll_queue(h), &ended);
  return n;
}

const port_backend port_epoll = {
    .name = "epoll",
    .caps = epoll_caps,
    .concurrency = epoll_concurrency,
    .open = epoll_port_open,
    .close = epoll_port_close,
    .destroy = epoll_port_destroy,
    .get = epoll_get,
    .post = epoll_post,
    .stats = epoll_stats,
    .timer = epoll_timer,
    .handle_bytes = sizeof(epoll_handle),
    .attach = epoll_attach,
    .handle_close = epoll_handle_close,
    .accept = epoll_accept,
    .accepted = epoll_accepted,
    .connect = epoll_connect,
    .recv = epoll_recv,
    .recv_ready = epoll_recv_ready,
    .take = epoll_take,
    .send = epoll_send,
    .try_send = epoll_try_send_now,
    .send_soon = epoll_try_send_now,
    .recv_from = epoll_recv_from,
    .send_to = epoll_send_to,
    .shutdown_send = epoll_shutdown_send,
    .cancel = epoll_cancel,
    .cancel_all = epoll_cancel_all,
};
