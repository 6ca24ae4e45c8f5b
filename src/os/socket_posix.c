/* socket_posix.c - socket.h by the socket calls of Linux. */
#include "os/socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/sim_seam.h"

static_assert(sizeof(os_buf) == sizeof(struct iovec) && offsetof(os_buf, data) == offsetof(struct iovec, iov_base) &&
                  offsetof(os_buf, len) == offsetof(struct iovec, iov_len),
              "arrays of os_buf go to the kernel as they are");

int os_error(int raw) {
  switch (raw) {
  case 0: return 0;
  case EINVAL: case EBADF: case EFAULT: case ENOTSOCK: case EDESTADDRREQ: return PORTICO_EINVAL;
  case ENOMEM: return PORTICO_ENOMEM;
  case ENOBUFS: return PORTICO_ENOBUFS;
  case EMFILE: case ENFILE: return PORTICO_EMFILE;
  case ECANCELED: return PORTICO_ECANCELED;
  case ETIMEDOUT: return PORTICO_ETIMEDOUT;
  case ESRCH: return PORTICO_ENOTFOUND;
  case EAGAIN: case EINPROGRESS: case EALREADY: case EINTR: return PORTICO_EAGAIN;
  case EADDRINUSE: return PORTICO_EADDRINUSE;
  case EADDRNOTAVAIL: return PORTICO_EADDRNOTAVAIL;
  case EACCES: case EPERM: return PORTICO_EACCES;
  case EAFNOSUPPORT: return PORTICO_EAFNOSUPPORT;
  case ECONNREFUSED: return PORTICO_ECONNREFUSED;
  case ECONNRESET: return PORTICO_ECONNRESET;
  case ECONNABORTED: case EPROTO: return PORTICO_ECONNABORTED;
  case EHOSTUNREACH: case EHOSTDOWN: return PORTICO_EHOSTUNREACH;
  case ENETUNREACH: case ENETDOWN: return PORTICO_ENETUNREACH;
  case ENOTCONN: return PORTICO_ENOTCONN;
  case EISCONN: return PORTICO_EISCONN;
  case ESHUTDOWN: return PORTICO_ESHUTDOWN;
  case EPIPE: return PORTICO_EPIPE;
  case EMSGSIZE: return PORTICO_EMSGSIZE;
  case EOPNOTSUPP: case ENOSYS: case ENOPROTOOPT: case EPROTONOSUPPORT: case ESPIPE:
    return PORTICO_ENOTSUP;
  case EIO: return PORTICO_EIO;
  case EBUSY: case ETXTBSY: return PORTICO_EBUSY;
  case ENOENT: case ENOTDIR: return PORTICO_ENOFILE;
  case EEXIST: return PORTICO_EEXIST;
  case EISDIR: return PORTICO_EISDIR;
  case ENOSPC: case EDQUOT: return PORTICO_ENOSPC;
  case EROFS: return PORTICO_EROFS;
  case EFBIG: return PORTICO_ELIMIT;
  default: return PORTICO_EUNKNOWN;
  }
}

/* Turns the usual result of a system call into ours. */
static int64_t socket_result(int64_t result) {
  return result < 0 ? os_error(errno) : result;
}

static int socket_set(os_socket s, int level, int option, int value) {
  return (int)socket_result(setsockopt(s, level, option, &value, sizeof value));
}

static const struct sockaddr *socket_addr(const os_addr *a) {
  return (const struct sockaddr *)(const void *)a->bytes;
}

int os_sockets_init(void) {
  return 0;
}

void os_sockets_fini(void) {
}

/* ---- life ---- */

int os_socket_open(os_socket_type type, const os_addr *family_of, os_socket *out) {
  if (sim_here != NULL) return sim_socket_open(type, out);
  int how = (type == OS_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int s = socket(socket_addr(family_of)->sa_family, how, 0);
  if (s < 0) return os_error(errno);
  *out = s;
  return 0;
}

void os_socket_close(os_socket s) {
  if (sim_owns(s)) {
    sim_socket_close(s);
    return;
  }
  close(s); /* whatever it says: on Linux the descriptor is gone even after EINTR */
}

int os_socket_bind(os_socket s, const os_addr *at) {
  if (sim_owns(s)) return sim_socket_bind(s, at);
  int       err = 0, type = 0;
  socklen_t len = sizeof type;
  if (getsockopt(s, SOL_SOCKET, SO_TYPE, &type, &len) != 0) return os_error(errno);
  /* For TCP it forgives TIME_WAIT only; for UDP it would let two sockets share a port. */
  if (type == SOCK_STREAM) err = socket_set(s, SOL_SOCKET, SO_REUSEADDR, 1);
  if (err == 0 && socket_addr(at)->sa_family == AF_INET6) err = socket_set(s, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (err < 0) return err;
  return (int)socket_result(bind(s, socket_addr(at), at->len));
}

void os_socket_stop_listening(os_socket s) {
  if (sim_owns(s)) sim_socket_stop_listening(s);
  else shutdown(s, SHUT_RD);
}

int os_socket_share_address(os_socket s) {
  if (sim_owns(s)) return sim_socket_share_address(s);
  return socket_set(s, SOL_SOCKET, SO_REUSEPORT, 1);
}

int os_socket_listen(os_socket s, int backlog) {
  if (sim_owns(s)) return sim_socket_listen(s, backlog);
  return (int)socket_result(listen(s, backlog));
}

/* ---- questions and options ---- */

static int socket_name(os_socket s, int (*ask)(int, struct sockaddr *, socklen_t *), os_addr *out) {
  os_addr   name = {0};
  socklen_t len = sizeof name.bytes;
  if (ask(s, (struct sockaddr *)(void *)name.bytes, &len) != 0) return os_error(errno);
  if (len > sizeof name.bytes) return PORTICO_EAFNOSUPPORT; /* not an IP socket, and truncated */
  name.len = len;
  *out = name;
  return 0;
}

static int socket_ask_local(int s, struct sockaddr *out, socklen_t *len) {
  return getsockname(s, out, len);
}

static int socket_ask_peer(int s, struct sockaddr *out, socklen_t *len) {
  return getpeername(s, out, len);
}

int os_socket_local(os_socket s, os_addr *out) {
  if (sim_owns(s)) return sim_socket_local(s, out);
  return socket_name(s, socket_ask_local, out);
}

int os_socket_peer(os_socket s, os_addr *out) {
  if (sim_owns(s)) return sim_socket_peer(s, out);
  return socket_name(s, socket_ask_peer, out);
}

bool os_socket_was_connected(os_socket s) {
  if (sim_owns(s)) return sim_socket_was_connected(s);
  os_addr peer;
  if (os_socket_peer(s, &peer) >= 0) return true;
  struct pollfd look = {.fd = s, .events = POLLIN};
  return poll(&look, 1, 0) == 1 && (look.revents & POLLIN) != 0;
}

int os_socket_set_nodelay(os_socket s, bool on) {
  if (sim_owns(s)) return sim_socket_set_nodelay(s);
  return socket_set(s, IPPROTO_TCP, TCP_NODELAY, on);
}

int os_socket_set_buffers(os_socket s, int send_bytes, int recv_bytes) {
  if (sim_owns(s)) return sim_socket_set_buffers(s, send_bytes);
  int err = send_bytes > 0 ? socket_set(s, SOL_SOCKET, SO_SNDBUF, send_bytes) : 0;
  if (err < 0 || recv_bytes <= 0) return err;
  return socket_set(s, SOL_SOCKET, SO_RCVBUF, recv_bytes);
}

int os_socket_set_reset_on_close(os_socket s) {
  if (sim_owns(s)) return sim_socket_set_reset_on_close(s);
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return (int)socket_result(setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

int os_socket_take_error(os_socket s) {
  if (sim_owns(s)) return sim_socket_take_error(s);
  int       raw = 0;
  socklen_t len = sizeof raw;
  if (getsockopt(s, SOL_SOCKET, SO_ERROR, &raw, &len) != 0) return os_error(errno);
  return os_error(raw);
}

/* ---- moving bytes ---- */

/* The system calls themselves: in a program with threads libc's recv and send switch cancellation on and off around
 * each call, which nobody here uses and every message would pay for.
 * A call that a signal interrupted is made again: told as EAGAIN, it would seem to prove that nothing is there. */

int64_t os_socket_recv(os_socket s, void *data, size_t len) {
  if (sim_owns(s)) return sim_socket_recv(s, &(os_buf){data, len}, 1, NULL, &(bool){false});
  for (;;) {
    int64_t n = syscall(SYS_recvfrom, s, data, len, 0, NULL, NULL);
    if (n >= 0 || errno != EINTR) return socket_result(n);
  }
}

int64_t os_socket_send(os_socket s, const void *data, size_t len) {
  if (sim_owns(s)) return sim_socket_send(s, &(os_buf){(void *)data, len}, 1, NULL);
  for (;;) {
    int64_t n = syscall(SYS_sendto, s, data, len, MSG_NOSIGNAL, NULL, 0);
    if (n >= 0 || errno != EINTR) return socket_result(n);
  }
}

int64_t os_socket_recv_bufs(os_socket s, const os_buf *bufs, unsigned count, os_addr *out_from, bool *out_cut) {
  if (sim_owns(s)) return sim_socket_recv(s, bufs, count, out_from, out_cut);
  struct msghdr msg = {.msg_iov = (struct iovec *)bufs, .msg_iovlen = count};
  if (out_from != NULL) {
    msg.msg_name = out_from->bytes;
    msg.msg_namelen = sizeof out_from->bytes;
  }
  ssize_t n;
  do n = recvmsg(s, &msg, 0);
  while (n < 0 && errno == EINTR);
  if (n < 0) return os_error(errno);
  if (out_from != NULL) out_from->len = msg.msg_namelen;
  *out_cut = (msg.msg_flags & MSG_TRUNC) != 0;
  return n;
}

int64_t os_socket_send_bufs(os_socket s, const os_buf *bufs, unsigned count, const os_addr *to) {
  if (sim_owns(s)) return sim_socket_send(s, bufs, count, to);
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

int os_socket_shutdown_send(os_socket s) {
  if (sim_owns(s)) return sim_socket_shutdown_send(s);
  return (int)socket_result(shutdown(s, SHUT_WR));
}

int os_socket_connect(os_socket s, const os_addr *to) {
  if (sim_owns(s)) return sim_socket_connect(s, to);
  return (int)socket_result(connect(s, socket_addr(to), to->len));
}

int os_socket_accept(os_socket listener, os_socket *out, os_addr *out_peer) {
  if (sim_owns(listener)) return sim_socket_accept(listener, out, out_peer);
  os_addr   peer = {0};
  socklen_t len = sizeof peer.bytes;
  int       s;
  do s = accept4(listener, (struct sockaddr *)(void *)peer.bytes, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (s < 0 && errno == EINTR);
  if (s < 0) return os_error(errno);
  peer.len = len <= sizeof peer.bytes ? len : 0;
  *out = s;
  if (out_peer != NULL) *out_peer = peer;
  return 0;
}

/* ---- waiting ---- */

static int socket_wait_bits(short seen) {
  if ((seen & POLLNVAL) != 0) return PORTICO_EINVAL;
  if ((seen & (POLLERR | POLLHUP)) != 0) return OS_READABLE | OS_WRITABLE;
  return ((seen & POLLIN) != 0 ? OS_READABLE : 0) | ((seen & POLLOUT) != 0 ? OS_WRITABLE : 0);
}

int os_socket_wait(os_socket s, int events, int64_t timeout_ns) {
  if (sim_owns(s)) return sim_socket_wait(s, events, timeout_ns);
  struct pollfd ask = {.fd = s};
  if ((events & OS_READABLE) != 0) ask.events |= POLLIN;
  if ((events & OS_WRITABLE) != 0) ask.events |= POLLOUT;
  int64_t now = os_clock_now();
  int64_t end = timeout_ns < 0 ? -1 : timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
  for (int64_t left = timeout_ns;; left = end - os_clock_now()) {
    if (left < 0) left = 0;
    struct timespec t = {.tv_sec = left / OS_NS_PER_S, .tv_nsec = left % OS_NS_PER_S};
    int             ready = ppoll(&ask, 1, end < 0 ? NULL : &t, NULL);
    if (ready > 0) return socket_wait_bits(ask.revents);
    if (ready == 0) return PORTICO_ETIMEDOUT;
    if (errno != EINTR) return os_error(errno); /* uncovered: one descriptor, which poll can always ask */
  }
}
