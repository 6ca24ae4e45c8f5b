/* port_files.c - threads that read and write files for a port. */
#include "port/port_files.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"

static file_state files_state(const sock_op *op) {
  return (file_state)atomic_load_explicit(&op->pending, memory_order_acquire);
}

static void files_move(sock_op *op, file_state state) {
  atomic_store_explicit(&op->pending, (int)state, memory_order_release);
}

/* ---- a helper ---- */

/* One call to the system. */
static int64_t files_call(const sock_op *op) {
  const sock_file *f = &op->file;
  uint32_t         left = f->len - f->done, piece = left < FILES_PIECE_BYTES ? left : FILES_PIECE_BYTES;
  switch (op->kind) {
  case SOCK_FILE_READ: return os_file_read_at(op->handle->socket, f->data + f->done, piece, f->offset + f->done);
  case SOCK_FILE_WRITE: return os_file_write_at(op->handle->socket, f->data + f->done, piece, f->offset + f->done);
  default: return os_file_sync(op->handle->socket);
  }
}

/* Does what the op asks for, unless and until it is cancelled. result: 0 or an error */
static int files_perform(sock_op *op) {
  int err;
  do {
    if (files_state(op) == FILE_CANCELLED) return PORTICO_ECANCELED;
  } while (!sock_file_advance(op, files_call(op), &err));
  return err;
}

/* True if no other helper runs an op of the closed handle h. */
static bool files_last_of_locked(const port_files *f, const port_handle *h) {
  for (unsigned i = 0; i < f->started; i++) {
    if (f->helpers[i].orphan && f->helpers[i].op->handle == h) return false;
  }
  return true;
}

static void files_next_locked(port_files *f, files_helper *t) {
  t->op = f->waiting.first;
  if (t->op == NULL) return;
  sock_files_remove(&f->waiting, t->op);
  files_move(t->op, FILE_RUNNING);
}

/* The helper's op has ended; it takes the next one, if there is one. A closed handle ends with its last op: the file is
 * closed before that op's packet is there. Called with the lock, returns without. */
static void files_end_and_unlock(port_files *f, files_helper *t, int err) {
  sock_op     *op = t->op;
  port_handle *closed = t->orphan ? op->handle : NULL;
  packet_list  ended = {0};
  t->orphan = false;
  if (closed != NULL && !files_last_of_locked(f, closed)) closed = NULL;
  files_next_locked(f, t);
  sock_op_pack(op, op->file.done, err, &ended);
  os_mutex_unlock(&f->lock);
  if (closed != NULL) os_file_close(closed->socket);
  port_queue_complete(f->queue, &ended);
  if (closed == NULL) return;
  port *p = closed->port;
  free(closed);
  port_unref(p); /* never the last one: the owner's stays until this thread was joined */
}

static void files_run(void *arg) {
  files_helper *t = arg;
  port_files   *f = t->files;
  os_mutex_lock(&f->lock);
  while (t->op != NULL || !f->stop) {
    sock_op *op = t->op;
    os_mutex_unlock(&f->lock);
    if (op == NULL) {
      os_event_wait(&t->event, -1);
      os_mutex_lock(&f->lock);
      continue;
    }
    int err = files_perform(op);
    os_mutex_lock(&f->lock);
    files_end_and_unlock(f, t, err);
    os_mutex_lock(&f->lock);
  }
  os_mutex_unlock(&f->lock);
}

/* ---- life cycle ---- */

void port_files_init(port_files *f, port_queue *q) {
  *f = (port_files){.queue = q};
  os_mutex_init(&f->lock);
}

void port_files_fini(port_files *f) {
  CHECK(f->stop);
  os_mutex_fini(&f->lock);
}

/* A helper more. errors: ENOMEM, ELIMIT */
static int files_add_helper_locked(port_files *f) {
  files_helper *t = &f->helpers[f->started];
  *t = (files_helper){.files = f};
  int err = os_event_init(&t->event);
  if (err < 0) return err; /* uncovered: only on Windows does an event need anything */
  err = os_thread_start(&t->thread, files_run, t);
  if (err < 0) os_event_fini(&t->event);
  else f->started++;
  return err;
}

/* Ends the ops that wait, those of handle h or, if that is NULL, all. result: how many */
static int files_end_waiting_locked(port_files *f, const port_handle *h, packet_list *out) {
  int n = 0;
  for (sock_op *op = f->waiting.first, *next; op != NULL; op = next) {
    next = op->file.next;
    if (h != NULL && op->handle != h) continue;
    sock_files_remove(&f->waiting, op);
    sock_op_pack(op, 0, PORTICO_ECANCELED, out);
    n++;
  }
  return n;
}

/* Asks the ops that run to end, those of handle h or, if that is NULL, all. result: how many were not asked before */
static int files_ask_running_locked(port_files *f, const port_handle *h) {
  int n = 0;
  for (unsigned i = 0; i < f->started; i++) {
    sock_op *op = f->helpers[i].op;
    if (op == NULL || (h != NULL && op->handle != h) || files_state(op) != FILE_RUNNING) continue;
    files_move(op, FILE_CANCELLED);
    n++;
  }
  return n;
}

void port_files_stop(port_files *f) {
  packet_list ended = {0};
  os_mutex_lock(&f->lock);
  bool     stopped = f->stop;
  unsigned started = stopped ? 0 : f->started;
  f->stop = true;
  files_end_waiting_locked(f, NULL, &ended);
  files_ask_running_locked(f, NULL);
  os_mutex_unlock(&f->lock);
  for (unsigned i = 0; i < started; i++) os_event_set(&f->helpers[i].event);
  for (unsigned i = 0; i < started; i++) {
    os_thread_join(&f->helpers[i].thread);
    os_event_fini(&f->helpers[i].event);
  }
  port_queue_complete(f->queue, &ended);
}

/* ---- operations ---- */

/* A helper with nothing to do, started if need be; NULL if all are busy. */
static files_helper *files_idle_locked(port_files *f) {
  for (unsigned i = 0; i < f->started; i++) {
    if (f->helpers[i].op == NULL) return &f->helpers[i];
  }
  if (f->started == FILES_HELPERS_MAX || files_add_helper_locked(f) < 0) return NULL;
  return &f->helpers[f->started - 1];
}

int port_files_start(port_files *f, port_handle *h, port_op *base, port_file_what what, void *data, uint32_t len,
                     uint64_t offset) {
  sock_op *op = sock_file_init(base, h, what, data, len, offset);
  op->file.keeper = f;
  os_mutex_lock(&f->lock);
  files_helper *t = f->stop ? NULL : files_idle_locked(f);
  int           err = f->stop ? PORTICO_ECLOSED : f->started == 0 ? PORTICO_ENOBUFS : 0;
  if (err == 0) {
    port_queue_started(f->queue);
    files_move(op, t != NULL ? FILE_RUNNING : FILE_WAITING);
    if (t != NULL) t->op = op;
    else sock_files_append(&f->waiting, op);
  }
  os_mutex_unlock(&f->lock);
  if (t != NULL) os_event_set(&t->event);
  return err;
}

int port_files_cancel(sock_op *op) {
  port_files *f = op->file.keeper;
  packet_list ended = {0};
  os_mutex_lock(&f->lock);
  file_state state = files_state(op);
  if (state == FILE_WAITING) {
    sock_files_remove(&f->waiting, op);
    sock_op_pack(op, 0, PORTICO_ECANCELED, &ended);
  } else if (state == FILE_RUNNING) {
    files_move(op, FILE_CANCELLED);
  }
  os_mutex_unlock(&f->lock);
  port_queue_complete(f->queue, &ended);
  return state == FILE_WAITING || state == FILE_RUNNING ? 0 : PORTICO_ENOTFOUND;
}

int port_files_cancel_all(port_files *f, port_handle *h) {
  packet_list ended = {0};
  os_mutex_lock(&f->lock);
  int n = files_end_waiting_locked(f, h, &ended) + files_ask_running_locked(f, h);
  os_mutex_unlock(&f->lock);
  port_queue_complete(f->queue, &ended);
  return n;
}

void port_files_close(port_files *f, port_handle *h) {
  packet_list ended = {0};
  port       *p = h->port;
  os_mutex_lock(&f->lock);
  files_end_waiting_locked(f, h, &ended);
  files_ask_running_locked(f, h);
  bool busy = false;
  for (unsigned i = 0; i < f->started; i++) {
    files_helper *t = &f->helpers[i];
    if (t->op == NULL || t->op->handle != h) continue;
    t->orphan = true;
    busy = true;
  }
  os_mutex_unlock(&f->lock);
  if (!busy) os_file_close(h->socket);
  port_queue_complete(f->queue, &ended);
  if (busy) return; /* the last helper at it frees h, or has done so */
  free(h);
  port_unref(p);
}
