/* socket_win32.c - socket.h by Winsock. */
#include <limits.h>
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/sim_seam.h"
#include "os/socket.h"

#ifndef ERROR_HANDLES_CLOSED
#define ERROR_HANDLES_CLOSED 676 /* missing from mingw's headers */
#endif
#ifndef ERROR_DISK_QUOTA_EXCEEDED
#define ERROR_DISK_QUOTA_EXCEEDED 1295
#endif

/* Winsock's codes, and those that completion packets carry: the same causes under older names. */
int os_error(int raw) {
  switch (raw) {
  case 0: return 0;
  case WSAEINVAL: case WSAEFAULT: case WSAENOTSOCK: case WSAEBADF: case WSAEDESTADDRREQ: case ERROR_INVALID_PARAMETER:
  case ERROR_INVALID_HANDLE: return PORTICO_EINVAL;
  case WSAENOBUFS: case ERROR_NOT_ENOUGH_MEMORY: case ERROR_NO_SYSTEM_RESOURCES: case ERROR_OUTOFMEMORY:
  case ERROR_COMMITMENT_LIMIT: return PORTICO_ENOBUFS;
  case WSAEMFILE: case ERROR_TOO_MANY_OPEN_FILES: return PORTICO_EMFILE;
  case ERROR_ABANDONED_WAIT_0: return PORTICO_ECLOSED;
  case ERROR_OPERATION_ABORTED: case ERROR_HANDLES_CLOSED: case WSA_E_CANCELLED: case ERROR_CANCELLED:
    return PORTICO_ECANCELED;
  case WSAETIMEDOUT: case WAIT_TIMEOUT: case ERROR_SEM_TIMEOUT: return PORTICO_ETIMEDOUT;
  case ERROR_NOT_FOUND: return PORTICO_ENOTFOUND;
  case WSAEWOULDBLOCK: case WSAEINPROGRESS: case WSAEALREADY: case WSAEINTR: return PORTICO_EAGAIN;
  case WSAEADDRINUSE: case ERROR_ADDRESS_ALREADY_ASSOCIATED: return PORTICO_EADDRINUSE;
  case WSAEADDRNOTAVAIL: return PORTICO_EADDRNOTAVAIL;
  case WSAEACCES: case ERROR_ACCESS_DENIED: return PORTICO_EACCES;
  case WSAEAFNOSUPPORT: case WSAEPFNOSUPPORT: return PORTICO_EAFNOSUPPORT;
  case WSAECONNREFUSED: case ERROR_CONNECTION_REFUSED: case ERROR_PORT_UNREACHABLE: return PORTICO_ECONNREFUSED;
  case WSAECONNRESET: case WSAENETRESET: case ERROR_NETNAME_DELETED: return PORTICO_ECONNRESET;
  case WSAECONNABORTED: case ERROR_CONNECTION_ABORTED: return PORTICO_ECONNABORTED;
  case WSAEHOSTUNREACH: case WSAEHOSTDOWN: case ERROR_HOST_UNREACHABLE: case ERROR_PROTOCOL_UNREACHABLE:
    return PORTICO_EHOSTUNREACH;
  case WSAENETUNREACH: case WSAENETDOWN: case ERROR_NETWORK_UNREACHABLE: return PORTICO_ENETUNREACH;
  case WSAENOTCONN: case ERROR_CONNECTION_INVALID: return PORTICO_ENOTCONN;
  case WSAEISCONN: case ERROR_CONNECTION_ACTIVE: return PORTICO_EISCONN;
  case WSAESHUTDOWN: case ERROR_GRACEFUL_DISCONNECT: return PORTICO_ESHUTDOWN;
  case ERROR_BROKEN_PIPE: case ERROR_NO_DATA: case ERROR_PIPE_NOT_CONNECTED: return PORTICO_EPIPE;
  case WSAEMSGSIZE: case ERROR_MORE_DATA: return PORTICO_EMSGSIZE;
  case WSAEOPNOTSUPP: case WSAENOPROTOOPT: case WSAEPROTONOSUPPORT: case WSAESOCKTNOSUPPORT: case ERROR_NOT_SUPPORTED:
  case ERROR_INVALID_FUNCTION: return PORTICO_ENOTSUP;
  case ERROR_IO_DEVICE: case ERROR_UNEXP_NET_ERR: return PORTICO_EIO;
  case ERROR_BUSY: case ERROR_SHARING_VIOLATION: case ERROR_LOCK_VIOLATION: return PORTICO_EBUSY;
  case ERROR_FILE_NOT_FOUND: case ERROR_PATH_NOT_FOUND: case ERROR_INVALID_NAME:
  case ERROR_BAD_PATHNAME: case ERROR_DIRECTORY: return PORTICO_ENOFILE;
  case ERROR_FILE_EXISTS: case ERROR_ALREADY_EXISTS: return PORTICO_EEXIST;
  case ERROR_DISK_FULL: case ERROR_HANDLE_DISK_FULL: case ERROR_DISK_QUOTA_EXCEEDED: return PORTICO_ENOSPC;
  case ERROR_WRITE_PROTECT: return PORTICO_EROFS;
  case ERROR_FILE_TOO_LARGE: return PORTICO_ELIMIT;
  default: return PORTICO_EUNKNOWN;
  }
}

/* Turns the usual result of a Winsock call into ours. */
static int socket_result(int result) {
  return result == SOCKET_ERROR ? os_error(WSAGetLastError()) : result;
}

static int socket_set(os_socket s, int level, int option, int value) {
  return socket_result(setsockopt(s, level, option, (const char *)&value, sizeof value));
}

static const struct sockaddr *socket_addr(const os_addr *a) {
  return (const struct sockaddr *)(const void *)a->bytes;
}

int os_sockets_init(void) {
  WSADATA data;
  return os_error(WSAStartup(MAKEWORD(2, 2), &data)); /* the result is the error itself */
}

void os_sockets_fini(void) {
  WSACleanup();
}

/* ---- life ---- */

static int socket_set_nonblocking(os_socket s) {
  u_long on = 1;
  return socket_result(ioctlsocket(s, FIONBIO, &on));
}

int os_socket_open(os_socket_type type, const os_addr *family_of, os_socket *out) {
  if (sim_here != NULL) return sim_socket_open(type, out);
  SOCKET s = WSASocketW(socket_addr(family_of)->sa_family, type == OS_TCP ? SOCK_STREAM : SOCK_DGRAM, 0, NULL, 0,
                        WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (s == INVALID_SOCKET) return os_error(WSAGetLastError());
  int err = socket_set_nonblocking(s);
  if (err < 0) {
    closesocket(s);
    return err;
  }
  *out = s;
  return 0;
}

void os_socket_close(os_socket s) {
  if (sim_owns(s)) {
    sim_socket_close(s);
    return;
  }
  closesocket(s);
}

int os_socket_bind(os_socket s, const os_addr *at) {
  if (sim_owns(s)) return sim_socket_bind(s, at);
  int err = socket_set(s, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1); /* without it anybody may bind over us */
  if (err == 0 && socket_addr(at)->sa_family == AF_INET6) err = socket_set(s, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (err < 0) return err;
  return socket_result(bind(s, socket_addr(at), (int)at->len));
}

void os_socket_stop_listening(os_socket s) {
  if (sim_owns(s)) sim_socket_stop_listening(s); /* of a real one the close is enough */
}

int os_socket_share_address(os_socket s) {
  if (sim_owns(s)) return sim_socket_share_address(s);
  (void)s;
  return PORTICO_ENOTSUP; /* SO_REUSEADDR lets sockets share an address, but all connections go to one of them */
}

int os_socket_listen(os_socket s, int backlog) {
  if (sim_owns(s)) return sim_socket_listen(s, backlog);
  return socket_result(listen(s, backlog));
}

/* ---- questions and options ---- */

static int socket_name(os_socket s, int(WSAAPI *ask)(SOCKET, struct sockaddr *, int *), os_addr *out) {
  os_addr name = {0};
  int     len = sizeof name.bytes;
  if (ask(s, (struct sockaddr *)(void *)name.bytes, &len) == SOCKET_ERROR) return os_error(WSAGetLastError());
  name.len = (uint32_t)len;
  *out = name;
  return 0;
}

int os_socket_local(os_socket s, os_addr *out) {
  if (sim_owns(s)) return sim_socket_local(s, out);
  return socket_name(s, getsockname, out);
}

int os_socket_peer(os_socket s, os_addr *out) {
  if (sim_owns(s)) return sim_socket_peer(s, out);
  return socket_name(s, getpeername, out);
}

bool os_socket_was_connected(os_socket s) {
  if (sim_owns(s)) return sim_socket_was_connected(s);
  os_addr peer;
  return os_socket_peer(s, &peer) >= 0; /* a reset does not take the name of the peer away */
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
  return socket_result(setsockopt(s, SOL_SOCKET, SO_LINGER, (const char *)&linger, sizeof linger));
}

int os_socket_take_error(os_socket s) {
  if (sim_owns(s)) return sim_socket_take_error(s);
  int raw = 0, len = sizeof raw;
  if (getsockopt(s, SOL_SOCKET, SO_ERROR, (char *)&raw, &len) != 0) return os_error(WSAGetLastError());
  return os_error(raw);
}

/* ---- moving bytes ---- */

static int socket_len(size_t len) {
  return len > INT_MAX ? INT_MAX : (int)len;
}

int64_t os_socket_recv(os_socket s, void *data, size_t len) {
  if (sim_owns(s)) return sim_socket_recv(s, &(os_buf){data, len}, 1, NULL, &(bool){false});
  return socket_result(recv(s, data, socket_len(len), 0));
}

int64_t os_socket_send(os_socket s, const void *data, size_t len) {
  if (sim_owns(s)) return sim_socket_send(s, &(os_buf){(void *)data, len}, 1, NULL);
  return socket_result(send(s, data, socket_len(len), 0));
}

/* The kernel's form has the length first. */
static void socket_bufs(WSABUF *out, const os_buf *bufs, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    out[i] = (WSABUF){.len = (ULONG)socket_len(bufs[i].len), .buf = bufs[i].data};
  }
}

int64_t os_socket_recv_bufs(os_socket s, const os_buf *bufs, unsigned count, os_addr *out_from, bool *out_cut) {
  if (sim_owns(s)) return sim_socket_recv(s, bufs, count, out_from, out_cut);
  WSABUF  kernel[OS_BUFS_MAX];
  os_addr from = {0};
  INT     from_len = sizeof from.bytes;
  DWORD   bytes = 0, flags = 0;
  socket_bufs(kernel, bufs, count);
  bool failed = WSARecvFrom(s, kernel, count, &bytes, &flags, (struct sockaddr *)(void *)from.bytes, &from_len, NULL,
                            NULL) == SOCKET_ERROR;
  bool cut = failed && WSAGetLastError() == WSAEMSGSIZE;
  if (failed && !cut) return os_error(WSAGetLastError());
  if (cut && bytes == 0) { /* the pieces are full, whatever it says */
    for (unsigned i = 0; i < count; i++) bytes += kernel[i].len;
  }
  from.len = (uint32_t)from_len;
  if (out_from != NULL) *out_from = from;
  *out_cut = cut;
  return bytes;
}

int64_t os_socket_send_bufs(os_socket s, const os_buf *bufs, unsigned count, const os_addr *to) {
  if (sim_owns(s)) return sim_socket_send(s, bufs, count, to);
  WSABUF kernel[OS_BUFS_MAX];
  DWORD  bytes = 0;
  socket_bufs(kernel, bufs, count);
  const struct sockaddr *address = to == NULL ? NULL : socket_addr(to);
  int failed = WSASendTo(s, kernel, count, &bytes, 0, address, to == NULL ? 0 : (int)to->len, NULL, NULL);
  return failed == SOCKET_ERROR ? os_error(WSAGetLastError()) : (int64_t)bytes;
}

int os_socket_shutdown_send(os_socket s) {
  if (sim_owns(s)) return sim_socket_shutdown_send(s);
  return socket_result(shutdown(s, SD_SEND));
}

int os_socket_connect(os_socket s, const os_addr *to) {
  if (sim_owns(s)) return sim_socket_connect(s, to);
  return socket_result(connect(s, socket_addr(to), (int)to->len));
}

int os_socket_accept(os_socket listener, os_socket *out, os_addr *out_peer) {
  if (sim_owns(listener)) return sim_socket_accept(listener, out, out_peer);
  os_addr peer = {0};
  int     len = sizeof peer.bytes;
  SOCKET  s = accept(listener, (struct sockaddr *)(void *)peer.bytes, &len);
  if (s == INVALID_SOCKET) return os_error(WSAGetLastError());
  SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0);
  int err = socket_set_nonblocking(s); /* mostly inherited from the listener; documented nowhere firmly */
  if (err < 0) {
    closesocket(s);
    return err;
  }
  peer.len = (uint32_t)len;
  *out = s;
  if (out_peer != NULL) *out_peer = peer;
  return 0;
}

/* ---- waiting ---- */

/* One round of at most about an hour. result: OS_ bits, 0 = time-out, or an error. */
static int socket_select(os_socket s, int events, int64_t timeout_ns) {
  /* Not WSAPoll: before Windows 10 version 2004 it did not notice a refused connect. */
  fd_set         readable, writable, failed;
  int64_t        us = timeout_ns / OS_NS_PER_US + (timeout_ns % OS_NS_PER_US != 0);
  int64_t        us_max = (int64_t)3600 * 1000000;
  struct timeval t = {.tv_sec = (long)((us < us_max ? us : us_max) / 1000000), .tv_usec = (long)(us % 1000000)};
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_ZERO(&failed);
  if ((events & OS_READABLE) != 0) FD_SET(s, &readable);
  if ((events & OS_WRITABLE) != 0) FD_SET(s, &writable);
  FD_SET(s, &failed);
  if (select(0, &readable, &writable, &failed, timeout_ns < 0 ? NULL : &t) == SOCKET_ERROR) {
    return os_error(WSAGetLastError());
  }
  if (FD_ISSET(s, &failed)) return OS_READABLE | OS_WRITABLE;
  return (FD_ISSET(s, &readable) ? OS_READABLE : 0) | (FD_ISSET(s, &writable) ? OS_WRITABLE : 0);
}

int os_socket_wait(os_socket s, int events, int64_t timeout_ns) {
  if (sim_owns(s)) return sim_socket_wait(s, events, timeout_ns);
  int64_t now = os_clock_now();
  int64_t end = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
  for (int64_t left = timeout_ns;; left = end - os_clock_now()) {
    if (timeout_ns >= 0 && left < 0) left = 0;
    int seen = socket_select(s, events, timeout_ns < 0 ? -1 : left);
    if (seen != 0) return seen;
    if (timeout_ns >= 0 && left <= 0) return PORTICO_ETIMEDOUT;
  }
}
