/* port_sock.c - buffers of operations, and the calls that move them. */
#include "port/port_sock.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

static_assert(sizeof(sock_op) <= sizeof(port_op), "port_op has too little room");
static_assert(offsetof(sock_op, data) <= sizeof(port_wait), "port_wait has too little room");
static_assert(offsetof(sock_op, timer) == offsetof(sock_op, ended), "a timer's packet is where all others are");
/* ---- lines ---- */

static sock_op *sock_next(const sock_op *op) {
  return container_of(op->ended.next, sock_op, ended);
}

sock_op *sock_line_first(const sock_line *l) {
  return l->last == NULL ? NULL : sock_next(l->last);
}

void sock_line_append(sock_line *l, sock_op *op) {
  op->ended.next = l->last == NULL ? &op->ended : l->last->ended.next;
  if (l->last != NULL) l->last->ended.next = &op->ended;
  l->last = op;
}

void sock_line_remove(sock_line *l, sock_op *op) {
  sock_op *before = l->last;
  while (sock_next(before) != op) before = sock_next(before);
  before->ended.next = op->ended.next;
  if (l->last == op) l->last = before == op ? NULL : before;
}

/* ---- ops ---- */

bool sock_is_send(const sock_op *op) {
  return op->kind == SOCK_CONNECT || op->kind == SOCK_SEND || op->kind == SOCK_SEND_TO;
}

sock_op *sock_op_init(port_op *base, port_handle *h, sock_kind kind) {
  sock_op *op = (sock_op *)base;
  op->ended = (packet_node){.packet = {.key = h->key, .op = base}};
  op->handle = h;
  op->kind = kind;
  return op;
}

void sock_op_use(sock_op *op, const port_buf *bufs, unsigned count, os_addr *addr) {
  op->data.bufs = (port_buf *)bufs;
  op->data.count = (uint16_t)count;
  op->data.index = 0;
  op->data.done = 0;
  op->data.addr = addr;
}

static bool sock_has_bufs(const sock_op *op) {
  return op->kind == SOCK_RECV || op->kind == SOCK_RECV_FROM || op->kind == SOCK_SEND || op->kind == SOCK_SEND_TO;
}

int sock_op_keep(sock_op *op) {
  if (!sock_has_bufs(op)) return 0;
  bool to = op->kind == SOCK_SEND_TO && op->data.addr != NULL;
  if (op->data.count == 1 && !to) {
    op->data.one = op->data.bufs[0];
    op->data.bufs = &op->data.one;
    return 0;
  }
  size_t    bytes = op->data.count * sizeof(port_buf);
  port_buf *copy = malloc(bytes + sizeof(os_addr));
  if (copy == NULL) return PORTICO_ENOBUFS;
  memcpy(copy, op->data.bufs, bytes);
  if (to) op->data.addr = memcpy((char *)copy + bytes, op->data.addr, sizeof(os_addr));
  op->data.bufs = copy;
  return 0;
}

void sock_op_pack(sock_op *op, uint32_t bytes, int err, packet_list *out) {
  if (sock_has_bufs(op) && op->data.bufs != &op->data.one) free(op->data.bufs);
  op->ended.packet.bytes = bytes;
  op->ended.packet.err = err;
  atomic_store_explicit(&op->pending, 0, memory_order_release);
  packet_list_append(out, &op->ended);
}

int sock_timer(port_queue *q, port_op *base, void *key, int64_t due_ns) {
  sock_op *op = (sock_op *)base;
  op->kind = SOCK_TIMER;
  op->queue = q;
  op->timer = (queue_timer){.node = {.packet = {.key = key, .op = base}}};
  return port_queue_timer_start(q, &op->timer, due_ns);
}

int sock_post(port_queue *q, port_op *base, void *key) {
  sock_op *op = (sock_op *)base;
  op->kind = SOCK_POST; /* never pending: it cannot be cancelled */
  atomic_store_explicit(&op->pending, 0, memory_order_relaxed);
  op->ended = (packet_node){.packet = {.key = key, .op = base}};
  return port_queue_post_node(q, &op->ended);
}

/* Leaves out n bytes that were moved. */
static void sock_op_advance(sock_op *op, size_t n) {
  op->data.done += (uint32_t)n;
  while (op->data.index < op->data.count) {
    port_buf *b = &op->data.bufs[op->data.index];
    size_t    part = n < b->len ? n : b->len;
    b->data = (char *)b->data + part;
    b->len -= part;
    n -= part;
    if (b->len > 0) return;
    op->data.index++;
  }
}

size_t sock_op_fill(sock_op *op, const unsigned char *bytes, size_t len) {
  size_t filled = 0;
  while (op->data.index < op->data.count && filled < len) {
    port_buf *b = &op->data.bufs[op->data.index];
    size_t    part = len - filled < b->len ? len - filled : b->len;
    if (part > 0) memcpy(b->data, bytes + filled, part);
    filled += part;
    sock_op_advance(op, part);
  }
  return filled;
}

/* ---- files ---- */

bool sock_is_file(const sock_op *op) {
  return op->kind >= SOCK_FILE_READ;
}

sock_op *sock_file_init(port_op *base, port_handle *h, port_file_what what, void *data, uint32_t len, uint64_t offset) {
  static const sock_kind kinds[] = {
      [PORT_FILE_READ] = SOCK_FILE_READ, [PORT_FILE_WRITE] = SOCK_FILE_WRITE, [PORT_FILE_SYNC] = SOCK_FILE_SYNC};
  sock_op *op = sock_op_init(base, h, kinds[what]);
  op->file = (sock_file){.data = data, .len = len, .offset = offset};
  return op;
}

void sock_files_append(sock_files *l, sock_op *op) {
  op->file.next = NULL;
  op->file.prev = l->last;
  if (l->last != NULL) l->last->file.next = op;
  else l->first = op;
  l->last = op;
}

void sock_files_remove(sock_files *l, sock_op *op) {
  if (op->file.prev != NULL) op->file.prev->file.next = op->file.next;
  else l->first = op->file.next;
  if (op->file.next != NULL) op->file.next->file.prev = op->file.prev;
  else l->last = op->file.prev;
}

bool sock_file_advance(sock_op *op, int64_t n, int *out_err) {
  *out_err = n < 0 ? (int)n : 0;
  if (n < 0 || op->kind == SOCK_FILE_SYNC) return true;
  op->file.done += (uint32_t)n;
  if (op->file.done == op->file.len) return true;
  if (n == 0 && op->kind == SOCK_FILE_WRITE) *out_err = PORTICO_EIO; /* uncovered: a write of 0 bytes is an error */
  return n == 0;
}

/* ---- one try ---- */

static int64_t sock_try_accept(sock_op *op) {
  int err;
  /* A peer that went away while it was queued is nobody's error: the next one may be there. */
  do err = os_socket_accept(op->handle->socket, &op->accepted.socket, &op->accepted.peer);
  while (err == PORTICO_ECONNABORTED);
  return err;
}

static int64_t sock_try_recv(sock_op *op) {
  bool     datagram = op->kind == SOCK_RECV_FROM, cut = false;
  os_addr *from = datagram ? op->data.addr : NULL;
  int64_t  n = os_socket_recv_bufs(op->handle->socket, op->data.bufs, op->data.count, from, &cut);
  if (n >= 0) op->data.done = (uint32_t)n;
  return cut ? PORTICO_EMSGSIZE : n;
}

/* Needs an array of our own: it is changed. */
static int64_t sock_try_send(sock_op *op) {
  sock_data *d = &op->data;
  while (d->index < d->count) {
    int64_t n = os_socket_send_bufs(op->handle->socket, &d->bufs[d->index], d->count - d->index, NULL);
    if (n < 0) return n;
    sock_op_advance(op, (size_t)n);
  }
  return d->done;
}

static int64_t sock_try_connect(sock_op *op) {
  int err = os_socket_take_error(op->handle->socket);
  if (err < 0) return err;
  os_addr peer; /* an event from before the connect proves nothing; having a peer does */
  return os_socket_peer(op->handle->socket, &peer) < 0 ? PORTICO_EAGAIN : 0;
}

int64_t sock_try(sock_op *op) {
  switch (op->kind) { /* uncovered: the default is a CHECK */
  case SOCK_ACCEPT: return sock_try_accept(op);
  case SOCK_RECV:
  case SOCK_RECV_FROM: return sock_try_recv(op);
  case SOCK_CONNECT: return sock_try_connect(op);
  case SOCK_SEND: return sock_try_send(op);
  case SOCK_SEND_TO: return os_socket_send_bufs(op->handle->socket, op->data.bufs, op->data.count, op->data.addr);
  default: CHECK(!"an op that is not tried");
  }
  return 0;
}

uint32_t sock_bytes(const sock_op *op, int64_t result) {
  if (result >= 0) return (uint32_t)result;
  return op->kind == SOCK_SEND || result == PORTICO_EMSGSIZE ? op->data.done : 0;
}

int64_t sock_offer(os_socket s, const port_buf *bufs, unsigned count) {
  if (count == 1) return os_socket_send(s, bufs->data, bufs->len); /* the kernel has less to copy */
  return os_socket_send_bufs(s, bufs, count, NULL);
}
