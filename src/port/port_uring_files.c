/* port_uring_files.c - operations on files over io_uring: a request for each, named by its op.
 *
 * Unlike those of sockets these requests have the op's buffer. So an op is over when its request is, and a closed file
 * stays until its last op is over; cancelling only asks. The ops in flight of all files are in one list: what cancels
 * one must find the lock, but maybe no handle any more. */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"
#include "port/port_uring.h"

enum { URING_FILE_BYTES = SIZED(1 << 30, 61) }; /* more in one request no system promises */

static file_state uring_file_state(const sock_op *op) {
  return (file_state)atomic_load_explicit(&op->pending, memory_order_acquire);
}

/* ---- requests ---- */

/* Asks the kernel for what is left of an op. Unless `flushed` the op may be over, and gone, when this returns. */
static void uring_file_request(uring_port *p, sock_op *op, bool flushed) {
  const sock_file     *f = &op->file;
  int                  fd = op->handle->socket;
  uint32_t             left = f->len - f->done, len = left < URING_FILE_BYTES ? left : URING_FILE_BYTES;
  struct io_uring_sqe *sqe = uring_begin(p);
  switch (op->kind) {
  case SOCK_FILE_READ: io_uring_prep_read(sqe, fd, f->data + f->done, len, f->offset + f->done); break;
  case SOCK_FILE_WRITE: io_uring_prep_write(sqe, fd, f->data + f->done, len, f->offset + f->done); break;
  default: io_uring_prep_fsync(sqe, fd, 0);
  }
  uring_end(p, sqe, op, URING_FILE, flushed);
}

/* Asks the kernel to end an op. Under the lock, so that the request is there before the op can be started anew. */
static void uring_file_ask_locked(uring_port *p, sock_op *op) {
  atomic_store_explicit(&op->pending, FILE_CANCELLED, memory_order_release);
  struct io_uring_sqe *sqe = uring_begin(p);
  io_uring_prep_cancel64(sqe, (uintptr_t)op | URING_FILE, 0);
  uring_end(p, sqe, NULL, URING_NONE, true);
}

/* Asks the ops that were not asked yet, those of handle h or, if that is NULL, all. result: how many */
static int uring_files_ask_locked(uring_port *p, const port_handle *h) {
  int n = 0;
  for (sock_op *op = p->files.first; op != NULL; op = op->file.next) {
    if ((h != NULL && op->handle != h) || uring_file_state(op) != FILE_RUNNING) continue;
    uring_file_ask_locked(p, op);
    n++;
  }
  return n;
}

/* ---- completions ---- */

/* The file goes, then the handle. */
static void uring_file_close(uring_port *p, uring_handle *h) {
  os_file_close(h->base.socket);
  os_mutex_fini(&h->lock);
  free(h);
  port_unref(&p->base); /* never the last one: whoever got here holds one */
}

static void uring_file_end(uring_port *p, sock_op *op, int err, packet_list *out) {
  uring_handle *h = (uring_handle *)op->handle;
  os_mutex_lock(&p->files_lock);
  sock_files_remove(&p->files, op);
  bool over = --h->files == 0 && h->closing;
  sock_op_pack(op, op->file.done, err, out);
  os_mutex_unlock(&p->files_lock);
  if (over) uring_file_close(p, h);
}

/* What the kernel says of a request, as bytes or one of our errors. It cannot sync what has no disk: then nothing waits
 * for one. */
static int64_t uring_file_result(const sock_op *op, int res) {
  if (res == -EINVAL && op->kind == SOCK_FILE_SYNC) return 0;
  return res < 0 ? os_file_error(-res) : res;
}

void uring_on_file(uring_port *p, sock_op *op, int res, packet_list *out) {
  /* Interrupted though nobody asked: the thread that had submitted it has exited. */
  bool interrupted = res == -ECANCELED || res == -EINTR || res == -EAGAIN;
  int  err = 0;
  bool over = !interrupted && sock_file_advance(op, uring_file_result(op, res), &err);
  if (!over && uring_file_state(op) == FILE_CANCELLED) {
    over = true;
    err = PORTICO_ECANCELED;
  }
  if (over) uring_file_end(p, op, err, out);
  else uring_file_request(p, op, true); /* the leader submits before it runs what it has reaped */
}

/* ---- operations ---- */

int uring_file(port_handle *base, port_op *base_op, port_file_what what, void *data, uint32_t len, uint64_t offset) {
  uring_handle *h = (uring_handle *)base;
  uring_port   *p = uring_port_of(h);
  sock_op      *op = sock_file_init(base_op, base, what, data, len, offset);
  op->file.keeper = p;
  os_mutex_lock(&p->files_lock);
  bool closed = p->files_closed;
  if (!closed) {
    port_queue_started(&p->queue);
    atomic_store_explicit(&op->pending, FILE_RUNNING, memory_order_release);
    sock_files_append(&p->files, op);
    h->files++;
  }
  os_mutex_unlock(&p->files_lock);
  if (closed) return PORTICO_ECLOSED;
  uring_file_request(p, op, false); /* a cancel that comes first finds nothing: then it ends by itself */
  return 0;
}

int uring_file_cancel(sock_op *op) {
  uring_port *p = op->file.keeper;
  os_mutex_lock(&p->files_lock);
  bool runs = uring_file_state(op) == FILE_RUNNING;
  if (runs) uring_file_ask_locked(p, op);
  os_mutex_unlock(&p->files_lock);
  if (!runs) return PORTICO_ENOTFOUND;
  uring_flush(p);
  return 0;
}

int uring_file_cancel_all(port_handle *base) {
  uring_port *p = uring_of(base->port);
  os_mutex_lock(&p->files_lock);
  int n = uring_files_ask_locked(p, base);
  os_mutex_unlock(&p->files_lock);
  uring_flush(p);
  return n;
}

void uring_file_handle_close(port_handle *base) {
  uring_handle *h = (uring_handle *)base;
  uring_port   *p = uring_port_of(h);
  os_mutex_lock(&p->files_lock);
  CHECK(!h->closing);
  h->closing = true;
  uring_files_ask_locked(p, base);
  bool over = h->files == 0;
  os_mutex_unlock(&p->files_lock);
  if (over) uring_file_close(p, h);
  else uring_flush(p);
}

/* ---- the port is being closed ---- */

bool uring_files_stop(uring_port *p) {
  os_mutex_lock(&p->files_lock);
  bool first = !p->files_closed;
  p->files_closed = true;
  uring_files_ask_locked(p, NULL);
  os_mutex_unlock(&p->files_lock);
  uring_flush(p);
  return first;
}

bool uring_files_busy(uring_port *p) {
  os_mutex_lock(&p->files_lock);
  bool busy = p->files.first != NULL;
  os_mutex_unlock(&p->files_lock);
  return busy;
}
