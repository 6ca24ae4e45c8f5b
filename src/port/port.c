/* port.c - the front of the completion port: picks a backend, checks what all of them would check alike, passes on. */
#include "port/port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "os/sim.h"
#include "port/port_backend.h"

static const port_backend *const port_backends[] = {
#ifdef _WIN32
    &port_iocp,
#else
    &port_epoll,
#ifdef PORTICO_URING
    &port_uring,
#endif
#endif
};

enum { PORT_BACKENDS = sizeof port_backends / sizeof port_backends[0] };

/* ---- the port ---- */

/* In a simulated network there is only one that its sockets fit. */
const char *port_backend_name(unsigned index) {
  if (os_sim_here() != NULL) return index == 0 ? port_sim.name : NULL;
  return index < PORT_BACKENDS ? port_backends[index]->name : NULL;
}

static const port_backend *port_backend_find(const char *name) {
  if (name == NULL || strcmp(name, "auto") == 0) name = port_backend_name(0);
  for (unsigned i = 0; i < PORT_BACKENDS; i++) {
    if (strcmp(port_backends[i]->name, name) == 0) return port_backends[i];
  }
  return strcmp(port_sim.name, name) == 0 ? &port_sim : NULL;
}

/* Sockets of the system and those of a simulated network do not mix.
 * result   NULL: the backend fits where the calling thread is; else why not */
static const char *port_backend_misfit(const port_backend *backend) {
  bool simulated = os_sim_here() != NULL;
  if ((backend == &port_sim) == simulated) return NULL;
  return simulated ? "this thread is in a simulated network, where only the backend sim works"
                   : "this thread is in no simulated network";
}

int port_open(const port_options *options, port **out_port) {
  if (options == NULL || out_port == NULL) return PORTICO_EINVAL;
  const port_backend *backend = port_backend_find(options->backend);
  if (backend == NULL) return PORTICO_ENOTSUP;
  const char *misfit = port_backend_misfit(backend);
  if (misfit != NULL) {
    if (options->out_why != NULL) snprintf(options->out_why, PORT_WHY_BYTES, "%s", misfit);
    return PORTICO_ENOTSUP;
  }
  port *p;
  int   err = backend->open(options, &p);
  if (err < 0) return err;
  p->backend = backend;
  atomic_init(&p->refs, 1);
  *out_port = p;
  return 0;
}

size_t port_close(port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  return p->backend->close(p, on_drop, arg);
}

void port_ref(port *p) {
  atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

void port_unref(port *p) {
  if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) p->backend->destroy(p);
}

const char *port_name(const port *p) {
  return p->backend->name;
}

unsigned port_caps(const port *p) {
  return p->backend->caps(p);
}

unsigned port_concurrency(const port *p) {
  return p->backend->concurrency(p);
}

void port_get_stats(port *p, port_stats *out_stats) {
  p->backend->stats(p, out_stats);
}

int port_get(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns) {
  if (max == 0 || out_packets == NULL) return PORTICO_EINVAL;
  return p->backend->get(p, out_packets, max, timeout_ns, false);
}

int port_get_run(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns) {
  if (max == 0) return PORTICO_EINVAL;
  return p->backend->get(p, out_packets, max, timeout_ns, true);
}

int port_post(port *p, void *key, port_op *op, uint32_t bytes) {
  return p->backend->post(p, key, op, bytes);
}

/* ---- handles ---- */

/* A handle is made before it is known which backend it will be attached to, so it has room for any. */
static size_t port_handle_bytes(void) {
  size_t bytes = port_sim.handle_bytes;
  for (unsigned i = 0; i < PORT_BACKENDS; i++) {
    if (port_backends[i]->handle_bytes > bytes) bytes = port_backends[i]->handle_bytes;
  }
  return bytes;
}

static int port_handle_make(os_socket s, port_kind kind, size_t bytes, port_handle **out_handle) {
  if (s == OS_SOCKET_NONE || kind > PORT_FILE || out_handle == NULL) return PORTICO_EINVAL;
  port_handle *h = calloc(1, bytes);
  if (h == NULL) return PORTICO_ENOMEM;
  h->socket = s;
  h->kind = kind;
  *out_handle = h;
  return 0;
}

int port_handle_open(os_socket s, port_kind kind, port_handle **out_handle) {
  return port_handle_make(s, kind, port_handle_bytes(), out_handle);
}

int port_attach(port *p, port_handle *h, void *key) {
  if (p == NULL || h == NULL || h->port != NULL) return PORTICO_EINVAL;
  port_ref(p);
  h->port = p;
  h->key = key;
  int err = p->backend->attach(p, h);
  if (err < 0) {
    h->port = NULL;
    port_unref(p);
  }
  return err;
}

int port_adopt(port *p, os_socket s, port_kind kind, void *key, port_handle **out_handle) {
  if (p == NULL) return PORTICO_EINVAL;
  port_handle *h;
  int          err = port_handle_make(s, kind, p->backend->handle_bytes, &h);
  if (err < 0) return err;
  err = port_attach(p, h, key);
  if (err < 0) free(h);
  else *out_handle = h;
  return err;
}

void port_handle_set_key(port_handle *h, void *key) {
  h->key = key;
}

static void port_handle_end(port_handle *h, bool abort) {
  if (h->port != NULL) {
    h->port->backend->handle_close(h, abort);
    return;
  }
  if (h->kind == PORT_FILE) {
    os_file_close(h->socket);
  } else {
    if (abort) os_socket_set_reset_on_close(h->socket);
    os_socket_close(h->socket);
  }
  free(h);
}

void port_handle_close(port_handle *h) {
  port_handle_end(h, false);
}

void port_handle_abort(port_handle *h) {
  port_handle_end(h, true);
}

os_socket port_handle_socket(const port_handle *h) {
  return h->socket;
}

/* ---- operations ---- */

static void port_op_mark(port_op *op, const port_backend *backend) {
  ((port_op_head *)op)->backend = backend;
}

/* True if h can start an op of this kind; marks the op as its backend's. */
static bool port_startable(port_handle *h, port_op *op, port_kind kind) {
  if (h == NULL || op == NULL || h->port == NULL || h->kind != kind) return false;
  port_op_mark(op, h->port->backend);
  return true;
}

static bool port_bufs_valid(const port_buf *bufs, unsigned count) {
  return bufs != NULL && count >= 1 && count <= PORT_BUFS_MAX;
}

int port_accept(port_handle *h, port_op *op) {
  if (!port_startable(h, op, PORT_LISTENER)) return PORTICO_EINVAL;
  return h->port->backend->accept(h, op);
}

os_socket port_accepted(port_op *op, os_addr *out_peer) {
  const port_backend *backend = ((port_op_head *)op)->backend;
  CHECK(backend != NULL);
  return backend->accepted(op, out_peer);
}

int port_connect(port_handle *h, port_op *op, const os_addr *to) {
  if (to == NULL || to->len == 0 || !port_startable(h, op, PORT_STREAM)) return PORTICO_EINVAL;
  return h->port->backend->connect(h, op, to);
}

int port_recv(port_handle *h, port_op *op, const port_buf *bufs, unsigned count) {
  if (!port_bufs_valid(bufs, count) || !port_startable(h, op, PORT_STREAM)) return PORTICO_EINVAL;
  return h->port->backend->recv(h, op, bufs, count);
}

int port_recv_ready(port_handle *h, port_op *op) {
  if (!port_startable(h, op, PORT_STREAM)) return PORTICO_EINVAL;
  return h->port->backend->recv_ready(h, op);
}

int64_t port_take(port_handle *h, port_op *op, void *scratch, size_t cap, const void **out_data) {
  return h->port->backend->take(h, op, scratch, cap, out_data);
}

int port_send(port_handle *h, port_op *op, const port_buf *bufs, unsigned count) {
  if (!port_bufs_valid(bufs, count) || !port_startable(h, op, PORT_STREAM)) return PORTICO_EINVAL;
  return h->port->backend->send(h, op, bufs, count);
}

int64_t port_try_send(port_handle *h, const port_buf *bufs, unsigned count) {
  return h->port->backend->try_send(h, bufs, count);
}

int64_t port_send_soon(port_handle *h, const port_buf *bufs, unsigned count) {
  return h->port->backend->send_soon(h, bufs, count);
}

void port_flush(port *p) {
  if (p->backend->flush != NULL) p->backend->flush(p);
}

int port_recv_from(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, os_addr *out_from) {
  if (!port_bufs_valid(bufs, count) || !port_startable(h, op, PORT_DATAGRAM)) return PORTICO_EINVAL;
  return h->port->backend->recv_from(h, op, bufs, count, out_from);
}

int port_send_to(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, const os_addr *to) {
  if (!port_bufs_valid(bufs, count) || !port_startable(h, op, PORT_DATAGRAM)) return PORTICO_EINVAL;
  return h->port->backend->send_to(h, op, bufs, count, to);
}

int port_shutdown_send(port_handle *h) {
  if (h->port == NULL || h->kind != PORT_STREAM) return PORTICO_EINVAL;
  return h->port->backend->shutdown_send(h);
}

static int port_file(port_handle *h, port_op *op, port_file_what what, void *data, size_t len, uint64_t offset) {
  if (data == NULL || len < 1 || len > UINT32_MAX || offset > INT64_MAX - len) return PORTICO_EINVAL;
  if (!port_startable(h, op, PORT_FILE)) return PORTICO_EINVAL;
  return h->port->backend->file(h, op, what, data, (uint32_t)len, offset);
}

int port_read(port_handle *h, port_op *op, void *data, size_t len, uint64_t offset) {
  return port_file(h, op, PORT_FILE_READ, data, len, offset);
}

int port_write(port_handle *h, port_op *op, const void *data, size_t len, uint64_t offset) {
  return port_file(h, op, PORT_FILE_WRITE, (void *)data, len, offset);
}

int port_sync(port_handle *h, port_op *op) {
  if (!port_startable(h, op, PORT_FILE)) return PORTICO_EINVAL;
  return h->port->backend->file(h, op, PORT_FILE_SYNC, NULL, 0, 0);
}

int port_cancel(port_op *op) {
  const port_backend *backend = ((port_op_head *)op)->backend;
  return backend == NULL ? PORTICO_ENOTFOUND : backend->cancel(op);
}

int port_cancel_all(port_handle *h) {
  if (h->port == NULL) return PORTICO_EINVAL;
  return h->port->backend->cancel_all(h);
}

int port_timer(port *p, port_op *op, void *key, int64_t due_ns) {
  if (p == NULL || op == NULL) return PORTICO_EINVAL;
  port_op_mark(op, p->backend);
  return p->backend->timer(p, op, key, due_ns);
}

int port_post_op(port *p, void *key, port_op *op) {
  if (p == NULL || op == NULL) return PORTICO_EINVAL;
  port_op_mark(op, p->backend);
  return p->backend->post_op(p, key, op);
}
