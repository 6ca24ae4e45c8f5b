/* port_uring.c - the completion port over io_uring: life cycle, waiting, the table.
 *
 * Receives and accepts are multishot: one request brings completions until it is stopped, into buffers that all
 * connections share, so that a silent one pins none. Sends of a turn go out with the call that waits for what comes
 * next. What has to wait for room or for a connect waits with a poll request. Timers are the queue's: they limit how
 * long the leader waits. port_uring_ops.c has the operations, port_uring_files.c
 * those on files, port_uring_ring.c the ring. */
#include "port/port_uring.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"

/* ---- the leader ---- */

static void uring_poll(void *backend, int64_t until_ns, packet_list *out) {
  uring_port         *p = backend;
  struct io_uring_cqe cqe;
  uring_wait(p, until_ns);
  unsigned looked_at = uring_looked_at(p);
  for (unsigned n = 0; n < URING_REAP_MAX && uring_next(p, &cqe); n++) uring_on_completion(p, &cqe, out);
  if (!uring_has_next(p)) uring_on_sent(p, looked_at, out);
}

static void uring_wake(void *backend) {
  uring_port          *p = backend;
  struct io_uring_sqe *sqe = uring_begin(p);
  io_uring_prep_nop(sqe);
  uring_end(p, sqe, NULL, URING_NONE, false);
}

void uring_await_sent(uring_port *p) {
  atomic_store(&p->awaited, true);
  if (atomic_load(&p->asleep)) uring_wake(p);
}

static void uring_hand_over(void *backend) {
  uring_flush(backend);
}

static const port_source uring_source = {.poll = uring_poll, .wake = uring_wake, .flush = uring_hand_over};

/* ---- the port ---- */

static int uring_port_open(const port_options *options, port **out_port) {
  uring_port *p = calloc(1, sizeof *p);
  if (p == NULL) return PORTICO_ENOMEM;
  const char *what;
  os_mutex_init(&p->files_lock);
  int err = uring_ring_open(p, &what);
  if (err < 0) {
    if (options->out_why != NULL) snprintf(options->out_why, PORT_WHY_BYTES, "%s: %s", what, portico_error_text(err));
    goto undo_mem;
  }
  err = port_queue_init(&p->queue, &p->base, options, &uring_source, p);
  if (err < 0) goto undo_ring;
  *out_port = &p->base;
  return 0;
undo_ring:
  uring_ring_close(p);
undo_mem:
  os_mutex_fini(&p->files_lock);
  free(p);
  return err;
}

/* The kernel has the buffers of ops on files until they have ended; and nobody reaps any more, once the last leader is
 * out, but the thread that closes. */
static size_t uring_port_close(port *base, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  uring_port *p = uring_of(base);
  bool        first = uring_files_stop(p);
  size_t      dropped = port_queue_close(&p->queue, on_drop, arg);
  if (!first) return dropped;
  port_queue_await_unled(&p->queue);
  while (uring_files_busy(p)) {
    packet_list ended = {0};
    uring_poll(p, INT64_MAX, &ended);
    dropped += port_queue_drop(&p->queue, &ended, on_drop, arg);
  }
  return dropped;
}

/* Handles that were closed stay until their last request has ended, and there was nobody to reap those. */
static void uring_drain(uring_port *p) {
  struct io_uring_cqe cqe;
  packet_list         none = {0};
  while (p->closed != NULL) {
    struct io_uring_sqe *sqe = uring_begin(p);
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
    uring_end(p, sqe, NULL, URING_NONE, true);
    uring_wait(p, os_clock_now() + 10 * OS_NS_PER_MS);
    unsigned looked_at = uring_looked_at(p);
    while (uring_next(p, &cqe)) uring_on_completion(p, &cqe, &none);
    uring_on_sent(p, looked_at, &none);
  }
  CHECK(none.count == 0);
}

static void uring_port_destroy(port *base) {
  uring_port *p = uring_of(base);
  uring_drain(p);
  port_queue_fini(&p->queue);
  uring_ring_close(p);
  os_mutex_fini(&p->files_lock);
  free(p);
}

static unsigned uring_caps(const port *p) {
  unsigned monitor = ((const uring_port *)p)->queue.monitor.started ? PORT_CAP_MONITOR : 0;
  return PORT_CAP_LIFO | PORT_CAP_CONCURRENCY | monitor;
}

static unsigned uring_concurrency(const port *p) {
  return ((const uring_port *)p)->queue.max;
}

/* What this thread has left to be sent soon goes out before it runs packets that it took without a wait, and before it
 * parks beside a leader who waits already. */
static int uring_get(port *base, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key) {
  uring_port *p = uring_of(base);
  if (atomic_load(&p->asleep)) uring_flush(p);
  int n = port_queue_get(&p->queue, out_packets, max, timeout_ns, one_key);
  if (n > 0) uring_flush(p); /* else the port may be gone */
  return n;
}

static int uring_post(port *p, void *key, port_op *op, uint32_t bytes) {
  return port_queue_post(&uring_of(p)->queue, key, op, bytes);
}

static int uring_post_op(port *p, void *key, port_op *op) {
  return sock_post(&uring_of(p)->queue, op, key);
}

static void uring_stats(port *p, port_stats *out_stats) {
  port_queue_stats(&uring_of(p)->queue, out_stats);
}

static void uring_port_flush(port *p) {
  uring_flush(uring_of(p));
}

static int uring_timer(port *p, port_op *op, void *key, int64_t due_ns) {
  return sock_timer(&uring_of(p)->queue, op, key, due_ns);
}

const port_backend port_uring = {
    .name = "uring",
    .caps = uring_caps,
    .concurrency = uring_concurrency,
    .open = uring_port_open,
    .close = uring_port_close,
    .destroy = uring_port_destroy,
    .get = uring_get,
    .post = uring_post,
    .post_op = uring_post_op,
    .stats = uring_stats,
    .flush = uring_port_flush,
    .timer = uring_timer,
    .handle_bytes = sizeof(uring_handle),
    .attach = uring_attach,
    .handle_close = uring_handle_close,
    .accept = uring_accept,
    .accepted = uring_accepted,
    .connect = uring_connect,
    .recv = uring_recv,
    .recv_ready = uring_recv_ready,
    .take = uring_take,
    .send = uring_send,
    .try_send = uring_try_send,
    .send_soon = uring_send_soon,
    .recv_from = uring_recv_from,
    .send_to = uring_send_to,
    .shutdown_send = uring_shutdown_send,
    .file = uring_file,
    .cancel = uring_cancel,
    .cancel_all = uring_cancel_all,
};
