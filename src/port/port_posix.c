/* port_posix.c - buffers of operations and the system calls that move them. */
#include "port/port_posix.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/check.h"
#include "base/error.h"

static_assert(sizeof(posix_op) <= sizeof(port_op), "port_op has too little room");
static_assert(offsetof(posix_op, data) <= sizeof(port_wait), "port_wait has too little room");
static_assert(offsetof(posix_op, timer) == offsetof(posix_op, ended), "a timer's packet is where all others are");
static_assert(sizeof(port_buf) == sizeof(struct iovec) &&
                  offsetof(port_buf, data) == offsetof(struct iovec, iov_base) &&
                  offsetof(port_buf, len) == offsetof(struct iovec, iov_len),
              "arrays of port_buf go to the kernel as they are");

/* ---- lines ---- */

static posix_op *posix_next(const posix_op *op) {
  return container_of(op->ended.next, posix_op, ended);
}

posix_op *posix_line_first(const posix_line *l) {
  return l->last == NULL ? NULL : posix_next(l->last);
}

void posix_line_append(posix_line *l, posix_op *op) {
  op->ended.next = l->last == NULL ? &op->ended : l->last->ended.next;
  if (l->last != NULL) l->last->ended.next = &op->ended;
  l->last = op;
}

void posix_line_remove(posix_line *l, posix_op *op) {
  posix_op *before = l->last;
  while (posix_next(before) != op) before = posix_next(before);
  before->ended.next = op->ended.next;
  if (l->last == op) l->last = before == op ? NULL : before;
}

/* ---- ops ---- */

bool posix_is_send(const posix_op *op) {
  return op->kind == POSIX_CONNECT || op->kind == POSIX_SEND || op->kind == POSIX_SEND_TO;
}

posix_op *posix_op_init(port_op *base, port_handle *h, posix_kind kind) {
  posix_op *op = (posix_op *)base;
  op->ended = (packet_node){.packet = {.key = h->key, .op = base}};
  op->handle = h;
  op->kind = kind;
  return op;
}

void posix_op_use(posix_op *op, const port_buf *bufs, unsigned count, os_addr *addr) {
  op->data.bufs = (port_buf *)bufs;
  op->data.count = (uint16_t)count;
  op->data.index = 0;
  op->data.done = 0;
  op->data.addr = addr;
}

static bool posix_has_bufs(const posix_op *op) {
  return op->kind == POSIX_RECV || op->kind == POSIX_RECV_FROM || op->kind == POSIX_SEND || op->kind == POSIX_SEND_TO;
}

int posix_op_keep(posix_op *op) {
  if (!posix_has_bufs(op)) return 0;
  bool to = op->kind == POSIX_SEND_TO && op->data.addr != NULL;
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

void posix_op_pack(posix_op *op, uint32_t bytes, int err, packet_list *out) {
  if (posix_has_bufs(op) && op->data.bufs != &op->data.one) free(op->data.bufs);
  op->ended.packet.bytes = bytes;
  op->ended.packet.err = err;
  atomic_store_explicit(&op->pending, 0, memory_order_release);
  packet_list_append(out, &op->ended);
}

int posix_timer(port_queue *q, port_op *base, void *key, int64_t due_ns) {
  posix_op *op = (posix_op *)base;
  op->kind = POSIX_TIMER;
  op->queue = q;
  op->timer = (queue_timer){.node = {.packet = {.key = key, .op = base}}};
  return port_queue_timer_start(q, &op->timer, due_ns);
}

/* Leaves out n bytes that were moved. */
static void posix_op_advance(posix_op *op, size_t n) {
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

size_t posix_op_fill(posix_op *op, const unsigned char *bytes, size_t len) {
  size_t filled = 0;
  while (op->data.index < op->data.count && filled < len) {
    port_buf *b = &op->data.bufs[op->data.index];
    size_t    part = len - filled < b->len ? len - filled : b->len;
    if (part > 0) memcpy(b->data, bytes + filled, part);
    filled += part;
    posix_op_advance(op, part);
  }
  return filled;
}

/* ---- one try ---- */

static int64_t posix_try_accept(posix_op *op) {
  int err;
  /* A peer that went away while it was queued is nobody's error: the next one may be there. */
  do err = os_socket_accept(op->handle->socket, &op->accepted.socket, &op->accepted.peer);
  while (err == PORTICO_ECONNABORTED);
  return err;
}

static int64_t posix_try_recv(posix_op *op) {
  bool          datagram = op->kind == POSIX_RECV_FROM;
  os_addr      *from = datagram ? op->data.addr : NULL;
  struct msghdr msg = {.msg_iov = (struct iovec *)op->data.bufs, .msg_iovlen = op->data.count};
  if (from != NULL) {
    msg.msg_name = from->bytes;
    msg.msg_namelen = sizeof from->bytes;
  }
  ssize_t n;
  do n = recvmsg(op->handle->socket, &msg, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return os_error(errno);
  if (from != NULL) from->len = msg.msg_namelen;
  op->data.done = (uint32_t)n;
  return (msg.msg_flags & MSG_TRUNC) != 0 && datagram ? PORTICO_EMSGSIZE : n;
}

static int64_t posix_send_message(os_socket s, const port_buf *bufs, unsigned count, const os_addr *to) {
  struct msghdr msg = {.msg_iov = (struct iovec *)bufs, .msg_iovlen = count};
  if (to != NULL) {
    msg.msg_name = (void *)to->bytes;
    msg.msg_namelen = to->len;
  }
  ssize_t n;
  do n = sendmsg(s, &msg, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n < 0 ? os_error(errno) : n;
}

/* Needs an array of our own: it is changed. */
static int64_t posix_try_send(posix_op *op) {
  posix_data *d = &op->data;
  while (d->index < d->count) {
    int64_t n = posix_send_message(op->handle->socket, &d->bufs[d->index], d->count - d->index, NULL);
    if (n < 0) return n;
    posix_op_advance(op, (size_t)n);
  }
  return d->done;
}

static int64_t posix_try_connect(posix_op *op) {
  int err = os_socket_take_error(op->handle->socket);
  if (err < 0) return err;
  os_addr peer; /* an event from before the connect proves nothing; having a peer does */
  return os_socket_peer(op->handle->socket, &peer) < 0 ? PORTICO_EAGAIN : 0;
}

int64_t posix_try(posix_op *op) {
  switch (op->kind) {
  case POSIX_ACCEPT: return posix_try_accept(op);
  case POSIX_RECV:
  case POSIX_RECV_FROM: return posix_try_recv(op);
  case POSIX_CONNECT: return posix_try_connect(op);
  case POSIX_SEND: return posix_try_send(op);
  case POSIX_SEND_TO: return posix_send_message(op->handle->socket, op->data.bufs, op->data.count, op->data.addr);
  default: CHECK(!"an op that is not tried");
  }
  return 0;
}

uint32_t posix_bytes(const posix_op *op, int64_t result) {
  if (result >= 0) return (uint32_t)result;
  return op->kind == POSIX_SEND || result == PORTICO_EMSGSIZE ? op->data.done : 0;
}

int64_t posix_offer(os_socket s, const port_buf *bufs, unsigned count) {
  if (count == 1) return os_socket_send(s, bufs->data, bufs->len); /* the kernel has less to copy */
  return posix_send_message(s, bufs, count, NULL);
}

/* ---- questions ---- */

bool posix_was_connected(os_socket s) {
  os_addr peer;
  if (os_socket_peer(s, &peer) >= 0) return true;
  struct pollfd look = {.fd = s, .events = POLLIN};
  return poll(&look, 1, 0) == 1 && (look.revents & POLLIN) != 0;
}
