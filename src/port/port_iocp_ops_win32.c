/* port_iocp_ops_win32.c - handles of the Windows backend, and the operations on sockets: Winsock's overlapped calls.
 *
 * A started op stands in the list of its handle until its packet is taken; a closed handle lives until that list is
 * empty. That the call which starts an op may lose the race against its packet shapes all of this: see iocp_op. */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>

#include "base/check.h"
#include "base/error.h"
#include "port/port_iocp.h"

#ifndef ERROR_HANDLES_CLOSED
#define ERROR_HANDLES_CLOSED 676 /* missing from mingw's headers */
#endif
#ifndef SIO_UDP_NETRESET
#define SIO_UDP_NETRESET _WSAIOW(IOC_VENDOR, 15)
#endif

static_assert(sizeof(iocp_op) <= sizeof(port_op), "port_op has room for an op of Windows");
static_assert(sizeof(OVERLAPPED) <= sizeof((iocp_op *)0)->overlapped, "iocp_op has room for an OVERLAPPED");

enum { ACCEPT_ADDR_BYTES = sizeof(struct sockaddr_in6) + 16 }; /* 16 more than the address, says AcceptEx */

static OVERLAPPED *op_native(iocp_op *op) {
  return (OVERLAPPED *)(void *)op->overlapped;
}

static iocp_handle *handle_of(port_handle *h) {
  return (iocp_handle *)h;
}

static iocp_port *handle_port(const iocp_handle *h) {
  return (iocp_port *)h->base.port;
}

/* ---- life of handles and ops ---- */

int iocp_attach(port *base, port_handle *base_handle) {
  iocp_port   *p = (iocp_port *)base;
  iocp_handle *h = handle_of(base_handle);
  if (atomic_load(&p->closed)) return PORTICO_ECLOSED;
  if (CreateIoCompletionPort((HANDLE)h->base.socket, p->native, (ULONG_PTR)h, 0) == NULL) {
    return os_error((int)GetLastError());
  }
  os_mutex_init(&h->lock);
  atomic_init(&h->refs, 1);
  os_addr peer;
  bool    connected = !p->wine || os_socket_peer(h->base.socket, &peer) == 0;
  atomic_init(&h->alone, h->base.kind == PORT_STREAM && !connected);
  if (h->base.kind == PORT_DATAGRAM) { /* or an answer "nobody there" to one peer would fail a receive from all */
    BOOL  off = FALSE;
    DWORD written;
    WSAIoctl(h->base.socket, SIO_UDP_CONNRESET, &off, sizeof off, NULL, 0, &written, NULL, NULL);
    WSAIoctl(h->base.socket, SIO_UDP_NETRESET, &off, sizeof off, NULL, 0, &written, NULL, NULL);
  }
  return 0;
}

static void handle_unref(iocp_handle *h) {
  if (atomic_fetch_sub(&h->refs, 1) != 1) return;
  port *p = h->base.port;
  if (h->base.kind == PORT_FILE) os_file_close(h->base.socket); /* not sooner: a sync may be at it */
  os_mutex_fini(&h->lock);
  free(h);
  port_unref(p);
}

static void handle_link_locked(iocp_handle *h, iocp_op *op) {
  op->next = NULL;
  op->prev = h->last;
  if (h->last != NULL) h->last->next = op;
  else h->first = op;
  h->last = op;
  h->count++;
}

static void handle_unlink_locked(iocp_handle *h, iocp_op *op) {
  if (op->prev != NULL) op->prev->next = op->next;
  else h->first = op->next;
  if (op->next != NULL) op->next->prev = op->prev;
  else h->last = op->prev;
  h->count--;
  if (h->closing) atomic_fetch_sub(&handle_port(h)->orphans, 1);
}

static void op_clear(iocp_op *op, iocp_handle *h) {
  memset(op->overlapped, 0, sizeof op->overlapped);
  op->err = 0;
  op->socket = h->base.socket;
}

iocp_op *iocp_op_begin(iocp_handle *h, port_op *base, iocp_kind kind) {
  iocp_port *p = handle_port(h);
  iocp_op   *op = (iocp_op *)base;
  if (atomic_load(&p->closed)) return NULL;
  op_clear(op, h);
  atomic_store(&op->kind, kind);
  atomic_fetch_add(&p->started, 1);
  atomic_fetch_add(&h->refs, 1);
  os_mutex_lock(&h->lock);
  handle_link_locked(h, op);
  os_mutex_unlock(&h->lock);
  return op;
}

int iocp_op_undo(iocp_handle *h, iocp_op *op, int err) {
  os_mutex_lock(&h->lock);
  handle_unlink_locked(h, op);
  os_mutex_unlock(&h->lock);
  atomic_store(&op->kind, IOCP_IDLE);
  atomic_fetch_add(&handle_port(h)->taken, 1);
  handle_unref(h);
  return err;
}

/* The result of a start, from what the Winsock call returned (0 = well). If it is 0, h and op may be gone. */
static int op_started(iocp_handle *h, iocp_op *op, int result) {
  if (result == 0) return 0; /* over at once; the packet comes all the same */
  int raw = WSAGetLastError();
  return raw == WSA_IO_PENDING ? 0 : iocp_op_undo(h, op, os_error(raw));
}

/* The kernel looks for an operation of that OVERLAPPED on that socket and finds none if it is over, cancelled, or if
 * the socket was closed and its number is another's now. So neither the handle nor any state of ours is needed. */
static bool op_cancel_native(iocp_op *op) {
  return CancelIoEx((HANDLE)op->socket, op_native(op));
}

static bool op_cancel(iocp_op *op) {
  return atomic_load(&op->kind) == IOCP_SYNC ? iocp_sync_cancel(op) : op_cancel_native(op);
}

static int handle_cancel_locked(iocp_handle *h) {
  int count = 0;
  for (iocp_op *op = h->first; op != NULL; op = op->next) {
    if (op_cancel(op)) count++;
  }
  return count;
}

/* After the port was closed nobody takes packets any more; so that the ops are out of the kernel's hands when the
 * handle is gone, its closer does. */
static void handle_drain(iocp_port *p, iocp_handle *h) {
  port_packet ignored[16];
  unsigned    count;
  while (atomic_load(&h->refs) > 1) iocp_dequeue(p, ignored, 16, 10, &count);
}

void iocp_handle_close(port_handle *base, bool abort) {
  iocp_handle *h = handle_of(base);
  iocp_port   *p = handle_port(h);
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  h->closing = true;
  atomic_fetch_add(&p->orphans, h->count);
  handle_cancel_locked(h); /* closing does it too; but under Wine only when all that was sent has left */
  if (h->base.kind != PORT_FILE) {
    if (abort) os_socket_set_reset_on_close(h->base.socket);
    os_socket_close(h->base.socket);
  }
  os_mutex_unlock(&h->lock);
  if (atomic_load(&p->closed)) handle_drain(p, h);
  handle_unref(h);
}

/* ---- ends of operations ---- */

/* True for what the kernel says of an op whose socket was closed: it depends on the op, and on the system. */
static bool error_means_closed(DWORD raw) {
  return raw == ERROR_OPERATION_ABORTED || raw == ERROR_CONNECTION_ABORTED || raw == ERROR_HANDLES_CLOSED ||
         raw == ERROR_NETNAME_DELETED || raw == ERROR_BROKEN_PIPE || raw == WSAECONNABORTED || raw == WSAECONNRESET;
}

static int op_error_locked(iocp_handle *h, iocp_op *op) {
  if (op->err != 0) return op->err;
  LONG status = (LONG)op_native(op)->Internal;
  if (status == 0) return 0;
  DWORD raw = handle_port(h)->error_of(status);
  if (raw == ERROR_HANDLE_EOF) return 0; /* nothing at that place of a file: no bytes, no failure */
  return h->closing && error_means_closed(raw) ? PORTICO_ECANCELED : os_error((int)raw);
}

/* Makes an accepted socket a full one, and asks for its peer's address. */
static int accept_adopt(iocp_handle *h, iocp_op *op, os_addr *out_peer) {
  struct sockaddr *local = NULL, *peer = NULL;
  int              local_len = 0, peer_len = 0;
  if (setsockopt(op->accept.socket, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&h->base.socket,
                 sizeof h->base.socket) != 0) {
    return os_error(WSAGetLastError());
  }
  GetAcceptExSockaddrs(op->accept.buffer, 0, ACCEPT_ADDR_BYTES, ACCEPT_ADDR_BYTES, &local, &local_len, &peer,
                       &peer_len);
  if (peer != NULL && peer_len > 0 && peer_len <= OS_ADDR_BYTES) {
    memcpy(out_peer->bytes, peer, (size_t)peer_len);
    out_peer->len = (uint32_t)peer_len;
  }
  return 0;
}

static int accept_end_locked(iocp_handle *h, iocp_op *op, int err) {
  os_addr peer = {0};
  if (err == 0 && (h->closing || atomic_load(&handle_port(h)->unheard))) err = PORTICO_ECANCELED;
  if (err == 0) err = accept_adopt(h, op, &peer);
  free(op->accept.buffer);
  op->accept.peer = peer;
  if (err < 0 && op->accept.socket != OS_SOCKET_NONE) {
    os_socket_close(op->accept.socket);
    op->accept.socket = OS_SOCKET_NONE;
  }
  return err;
}

static int connect_end_locked(iocp_handle *h, int err) {
  atomic_store(&h->alone, err < 0);
  if (err < 0 || h->closing) return err;
  /* Without this, shutdown and the address calls would not know that the socket is connected. */
  return setsockopt(h->base.socket, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0) == 0 ? 0
                                                                                         : os_error(WSAGetLastError());
}

static int recv_from_end(iocp_op *op, int err) {
  if (op->recv_from.out == NULL || (err < 0 && err != PORTICO_EMSGSIZE)) return err;
  *op->recv_from.out = op->recv_from.from;
  return err;
}

static int op_end_locked(iocp_handle *h, iocp_op *op) {
  int err = op_error_locked(h, op);
  switch (atomic_load(&op->kind)) {
  case IOCP_ACCEPT: return accept_end_locked(h, op, err);
  case IOCP_CONNECT: return connect_end_locked(h, err);
  case IOCP_RECV_FROM: return recv_from_end(op, err);
  default: return err;
  }
}

/* True if the accept failed only because its client has gone again: then the listener just waits for the next one. */
static bool accept_lost_client(const iocp_handle *h, int err) {
  return !h->closing && (err == PORTICO_ECONNRESET || err == PORTICO_ECONNABORTED || err == PORTICO_ENOTCONN);
}

static int accept_submit(iocp_handle *h, iocp_op *op);

bool iocp_op_finish(iocp_port *p, iocp_handle *h, void *overlapped, uint32_t bytes, port_packet *out_packet) {
  iocp_op *op = container_of(overlapped, iocp_op, overlapped);
  os_mutex_lock(&h->lock);
  int kind = atomic_load(&op->kind), err = op_end_locked(h, op);
  if (kind == IOCP_ACCEPT && accept_lost_client(h, err) && !atomic_load(&p->closed)) {
    op_clear(op, h);
    err = accept_submit(h, op);
    if (err == 0) { /* under way again, and op maybe out of our hands already */
      os_mutex_unlock(&h->lock);
      return false;
    }
  }
  handle_unlink_locked(h, op);
  os_mutex_unlock(&h->lock);
  if (kind == IOCP_ACCEPT || kind == IOCP_CONNECT) bytes = 0;
  *out_packet = (port_packet){.key = h->base.key, .op = (port_op *)op, .bytes = bytes, .err = err};
  atomic_store(&op->kind, IOCP_IDLE);
  handle_unref(h);
  return true;
}

/* ---- accept and connect ---- */

/* Hands an accept to the kernel. result: 0, or an error and nothing was started */
static int accept_submit(iocp_handle *h, iocp_op *op) {
  os_addr local;
  DWORD   received;
  op->accept.socket = OS_SOCKET_NONE;
  op->accept.buffer = NULL;
  int err = os_socket_local(h->base.socket, &local);
  if (err < 0) return err;
  op->accept.buffer = malloc(2 * ACCEPT_ADDR_BYTES);
  if (op->accept.buffer == NULL) return PORTICO_ENOMEM;
  err = os_socket_open(OS_TCP, &local, &op->accept.socket);
  if (err < 0) goto undo_buffer;
  if (AcceptEx(h->base.socket, op->accept.socket, op->accept.buffer, 0, ACCEPT_ADDR_BYTES, ACCEPT_ADDR_BYTES, &received,
               op_native(op))) {
    return 0;
  }
  int raw = WSAGetLastError();
  if (raw == WSA_IO_PENDING) return 0;
  err = os_error(raw);
  os_socket_close(op->accept.socket);
  op->accept.socket = OS_SOCKET_NONE;
undo_buffer:
  free(op->accept.buffer);
  op->accept.buffer = NULL;
  return err;
}

static bool accept_possible(os_socket s) {
  BOOL listening = FALSE;
  int  len = sizeof listening;
  return getsockopt(s, SOL_SOCKET, SO_ACCEPTCONN, (char *)&listening, &len) == 0 && listening;
}

int iocp_accept(port_handle *base, port_op *base_op) {
  iocp_handle *h = handle_of(base);
  if (!accept_possible(h->base.socket)) return PORTICO_EINVAL; /* Wine starts it all the same */
  iocp_op *op = iocp_op_begin(h, base_op, IOCP_ACCEPT);
  if (op == NULL) return PORTICO_ECLOSED;
  int err = accept_submit(h, op);
  if (err == 0) return 0;
  if (err != PORTICO_EMFILE && err != PORTICO_ENOMEM && err != PORTICO_ENOBUFS) return iocp_op_undo(h, op, err);
  /* A passing lack is told by packet: there is one place then where a server decides to try again later. */
  op->err = err;
  return iocp_queue(handle_port(h), (uintptr_t)h, op_native(op)) == 0 ? 0 : iocp_op_undo(h, op, PORTICO_ENOBUFS);
}

os_socket iocp_accepted(port_op *base, os_addr *out_peer) {
  iocp_op *op = (iocp_op *)base;
  CHECK(op->accept.socket != OS_SOCKET_NONE);
  os_socket s = op->accept.socket;
  op->accept.socket = OS_SOCKET_NONE;
  if (out_peer != NULL) *out_peer = op->accept.peer;
  return s;
}

/* ConnectEx wants a bound socket. One that is bound already stays as it is. */
static int connect_bind_any(os_socket s, const os_addr *family_of) {
  os_addr any = {.len = family_of->len};
  memcpy(any.bytes, family_of->bytes, sizeof(short)); /* the family; all else zero: any address, any port */
  if (bind(s, (const struct sockaddr *)(const void *)any.bytes, (int)any.len) == 0) return 0;
  int raw = WSAGetLastError();
  return raw == WSAEINVAL ? 0 : os_error(raw);
}

/* ConnectEx is no export: each provider of sockets may bring its own. NULL if there is none. */
static LPFN_CONNECTEX connect_function(os_socket s) {
  GUID           name = WSAID_CONNECTEX;
  LPFN_CONNECTEX found = NULL;
  DWORD          written;
  int            result = WSAIoctl(s, SIO_GET_EXTENSION_FUNCTION_POINTER, &name, sizeof name, &found, sizeof found,
                                   &written, NULL, NULL);
  return result == 0 ? found : NULL;
}

int iocp_connect(port_handle *base, port_op *base_op, const os_addr *to) {
  iocp_handle   *h = handle_of(base);
  LPFN_CONNECTEX connect_ex = connect_function(h->base.socket);
  int            err = connect_ex == NULL ? PORTICO_ENOTSUP : connect_bind_any(h->base.socket, to);
  if (err < 0) return err;
  iocp_op *op = iocp_op_begin(h, base_op, IOCP_CONNECT);
  if (op == NULL) return PORTICO_ECLOSED;
  op->to = *to;
  bool done = connect_ex(h->base.socket, (const struct sockaddr *)(const void *)op->to.bytes, (int)to->len, NULL, 0,
                         NULL, op_native(op));
  return op_started(h, op, done ? 0 : SOCKET_ERROR);
}

/* ---- bytes ---- */

/* Copies the array into the system's form. False if it is more than a packet can count. */
static bool bufs_native(WSABUF out[PORT_BUFS_MAX], const port_buf *bufs, unsigned count) {
  uint64_t total = 0;
  for (unsigned i = 0; i < count; i++) {
    total += bufs[i].len;
    if (bufs[i].len > UINT32_MAX || total > UINT32_MAX) return false;
    out[i] = (WSABUF){.len = (ULONG)bufs[i].len, .buf = bufs[i].data};
  }
  return true;
}

static int recv_start(iocp_handle *h, port_op *base_op, WSABUF *bufs, unsigned count) {
  if (atomic_load(&h->alone)) return PORTICO_ENOTCONN;
  iocp_op *op = iocp_op_begin(h, base_op, IOCP_RECV);
  if (op == NULL) return PORTICO_ECLOSED;
  DWORD flags = 0; /* written by this call only, if at all */
  return op_started(h, op, WSARecv(h->base.socket, bufs, count, NULL, &flags, op_native(op), NULL));
}

int iocp_recv(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  WSABUF native[PORT_BUFS_MAX];
  if (!bufs_native(native, bufs, count)) return PORTICO_EINVAL;
  return recv_start(handle_of(base), base_op, native, count);
}

/* A receive of no bytes ends when there are some, and takes none: nothing of ours is locked in memory meanwhile. */
int iocp_recv_ready(port_handle *base, port_op *base_op) {
  char   nothing;
  WSABUF none = {.len = 0, .buf = &nothing};
  return recv_start(handle_of(base), base_op, &none, 1);
}

/* Under Wine 8 a reset that came while no receive was pending reads as the peer's end. */
int64_t iocp_take(port_handle *h, port_op *op, void *scratch, size_t cap, const void **out_data) {
  (void)op;
  *out_data = scratch;
  return os_socket_recv(h->socket, scratch, cap);
}

int iocp_send(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  iocp_handle *h = handle_of(base);
  WSABUF       native[PORT_BUFS_MAX];
  if (!bufs_native(native, bufs, count)) return PORTICO_EINVAL;
  if (atomic_load(&h->alone)) return PORTICO_ENOTCONN;
  iocp_op *op = iocp_op_begin(h, base_op, IOCP_SEND);
  if (op == NULL) return PORTICO_ECLOSED;
  return op_started(h, op, WSASend(h->base.socket, native, count, NULL, 0, op_native(op), NULL));
}

int64_t iocp_try_send(port_handle *h, const port_buf *bufs, unsigned count) {
  WSABUF native[PORT_BUFS_MAX];
  DWORD  sent = 0;
  if (!bufs_native(native, bufs, count)) return PORTICO_EINVAL;
  if (atomic_load(&handle_port(handle_of(h))->closed)) return PORTICO_ECLOSED;
  if (atomic_load(&handle_of(h)->alone)) return PORTICO_ENOTCONN;
  if (WSASend(h->socket, native, count, &sent, 0, NULL, NULL) == 0) return sent;
  return os_error(WSAGetLastError());
}

int iocp_shutdown_send(port_handle *h) {
  if (atomic_load(&handle_port(handle_of(h))->closed)) return PORTICO_ECLOSED;
  if (atomic_exchange(&handle_of(h)->shut, true)) return PORTICO_ESHUTDOWN;
  return os_socket_shutdown_send(h->socket);
}

/* ---- datagrams ---- */

int iocp_recv_from(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, os_addr *out_from) {
  iocp_handle *h = handle_of(base);
  WSABUF       native[PORT_BUFS_MAX];
  DWORD        flags = 0;
  if (!bufs_native(native, bufs, count)) return PORTICO_EINVAL;
  iocp_op *op = iocp_op_begin(h, base_op, IOCP_RECV_FROM);
  if (op == NULL) return PORTICO_ECLOSED;
  op->recv_from.from = (os_addr){.len = OS_ADDR_BYTES};
  op->recv_from.out = out_from;
  struct sockaddr *from = (struct sockaddr *)(void *)op->recv_from.from.bytes;
  int             *from_len = (int *)(void *)&op->recv_from.from.len;
  int result = WSARecvFrom(h->base.socket, native, count, NULL, &flags, from, from_len, op_native(op), NULL);
  if (result != 0 && WSAGetLastError() == WSAEMSGSIZE) return 0; /* to the kernel a warning, so a packet is coming */
  return op_started(h, op, result);
}

int iocp_send_to(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, const os_addr *to) {
  iocp_handle *h = handle_of(base);
  bool         wine = handle_port(h)->wine; /* asked now: h may be gone later */
  WSABUF       native[PORT_BUFS_MAX];
  if (!bufs_native(native, bufs, count)) return PORTICO_EINVAL;
  iocp_op *op = iocp_op_begin(h, base_op, IOCP_SEND);
  if (op == NULL) return PORTICO_ECLOSED;
  if (to == NULL) return op_started(h, op, WSASend(h->base.socket, native, count, NULL, 0, op_native(op), NULL));
  op->to = *to;
  const struct sockaddr *there = (const struct sockaddr *)(const void *)op->to.bytes;
  int result = WSASendTo(h->base.socket, native, count, NULL, 0, there, (int)to->len, op_native(op), NULL);
  /* Too long: an error to Windows, but to Wine the same warning as for a receive, and a packet is coming. */
  if (result != 0 && WSAGetLastError() == WSAEMSGSIZE && wine) return 0;
  return op_started(h, op, result);
}

/* ---- cancel ---- */

int iocp_cancel(port_op *base) {
  iocp_op *op = (iocp_op *)base;
  switch (atomic_load(&op->kind)) {
  case IOCP_IDLE: return PORTICO_ENOTFOUND;
  case IOCP_TIMER: return iocp_timer_cancel(op);
  default: return op_cancel(op) ? 0 : PORTICO_ENOTFOUND;
  }
}

int iocp_cancel_all(port_handle *base) {
  iocp_handle *h = handle_of(base);
  os_mutex_lock(&h->lock);
  int count = handle_cancel_locked(h);
  os_mutex_unlock(&h->lock);
  return count;
}
