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

#include "base/error.h"

static_assert(sizeof(port_buf) == sizeof(struct iovec) &&
                  offsetof(port_buf, data) == offsetof(struct iovec, iov_base) &&
                  offsetof(port_buf, len) == offsetof(struct iovec, iov_len),
              "arrays of port_buf go to the kernel as they are");

/* ---- buffers ---- */

void port_data_use(port_data *d, const port_buf *bufs, unsigned count, os_addr *addr) {
  *d = (port_data){.bufs = (port_buf *)bufs, .count = count, .addr = addr};
}

int port_data_keep(port_data *d, bool to) {
  if (d->count == 1 && !to) {
    d->one = d->bufs[0];
    d->bufs = &d->one;
    return 0;
  }
  size_t    bytes = d->count * sizeof(port_buf);
  port_buf *copy = malloc(bytes + sizeof(os_addr));
  if (copy == NULL) return PORTICO_ENOBUFS;
  memcpy(copy, d->bufs, bytes);
  if (to) d->addr = memcpy((char *)copy + bytes, d->addr, sizeof(os_addr));
  d->bufs = copy;
  return 0;
}

void port_data_drop(port_data *d) {
  if (d->bufs != &d->one) free(d->bufs);
}

/* Leaves out n bytes that were moved. */
static void port_data_advance(port_data *d, size_t n) {
  d->done += (uint32_t)n;
  while (d->index < d->count) {
    port_buf *b = &d->bufs[d->index];
    size_t    part = n < b->len ? n : b->len;
    b->data = (char *)b->data + part;
    b->len -= part;
    n -= part;
    if (b->len > 0) return;
    d->index++;
  }
}

size_t port_data_fill(port_data *d, const unsigned char *bytes, size_t len) {
  size_t filled = 0;
  while (d->index < d->count && filled < len) {
    port_buf *b = &d->bufs[d->index];
    size_t    part = len - filled < b->len ? len - filled : b->len;
    if (part > 0) memcpy(b->data, bytes + filled, part);
    filled += part;
    port_data_advance(d, part);
  }
  return filled;
}

/* ---- one try ---- */

int64_t port_data_recv(os_socket s, port_data *d, bool datagram) {
  os_addr      *from = datagram ? d->addr : NULL;
  struct msghdr msg = {.msg_iov = (struct iovec *)d->bufs, .msg_iovlen = d->count};
  if (from != NULL) {
    msg.msg_name = from->bytes;
    msg.msg_namelen = sizeof from->bytes;
  }
  ssize_t n;
  do n = recvmsg(s, &msg, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return os_error(errno);
  if (from != NULL) from->len = msg.msg_namelen;
  d->done = (uint32_t)n;
  return (msg.msg_flags & MSG_TRUNC) != 0 && datagram ? PORTICO_EMSGSIZE : n;
}

static int64_t port_send_message(os_socket s, const port_buf *bufs, unsigned count, const os_addr *to) {
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

int64_t port_data_send(os_socket s, port_data *d) {
  while (d->index < d->count) {
    int64_t n = port_send_message(s, &d->bufs[d->index], d->count - d->index, NULL);
    if (n < 0) return n;
    port_data_advance(d, (size_t)n);
  }
  return d->done;
}

int64_t port_data_send_to(os_socket s, port_data *d) {
  return port_send_message(s, d->bufs, d->count, d->addr);
}

int64_t port_offer(os_socket s, const port_buf *bufs, unsigned count) {
  if (count == 1) return os_socket_send(s, bufs->data, bufs->len); /* the kernel has less to copy */
  return port_send_message(s, bufs, count, NULL);
}

/* ---- questions ---- */

bool port_was_connected(os_socket s) {
  os_addr peer;
  if (os_socket_peer(s, &peer) >= 0) return true;
  struct pollfd look = {.fd = s, .events = POLLIN};
  return poll(&look, 1, 0) == 1 && (look.revents & POLLIN) != 0;
}

int port_connect_result(os_socket s) {
  int err = os_socket_take_error(s);
  if (err < 0) return err;
  os_addr peer; /* an event from before the connect proves nothing; having a peer does */
  return os_socket_peer(s, &peer) < 0 ? PORTICO_EAGAIN : 0;
}
