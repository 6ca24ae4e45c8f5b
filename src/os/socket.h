/* socket.h - sockets and addresses, as thin as can be.   Layer: os.
 * Every socket made here is non-blocking, not inherited by children and, on Windows, overlapped. Results are >= 0 or
 * PORTICO_E...; os_error does the translating. */
#ifndef PORTICO_OS_SOCKET_H
#define PORTICO_OS_SOCKET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sized.h"

#ifdef _WIN32
typedef uintptr_t os_socket;
#else
typedef int os_socket;
#endif
#define OS_SOCKET_NONE ((os_socket)-1)

enum { OS_ADDR_BYTES = 28, OS_ADDR_TEXT = 64 };

/* A socket address: the kernel's own form, IPv4 or IPv6. len == 0 = none. */
typedef struct os_addr {
  uint32_t len;
  _Alignas(4) unsigned char bytes[OS_ADDR_BYTES];
} os_addr;

/* One piece of memory of a gathered send or scattered receive. */
typedef struct os_buf {
  void  *data;
  size_t len;
} os_buf;

enum { OS_BUFS_MAX = SIZED(64, 4) }; /* in one call */

/* Translates errno, or a Windows error code, to PORTICO_E...; 0 stays 0. */
int os_error(int raw);

/* Gets the system ready for sockets (Windows: WSAStartup); each call needs its os_sockets_fini. */
int  os_sockets_init(void);
void os_sockets_fini(void);

/* Reads a numeric address ("127.0.0.1", "::1", "fe80::1%eth0"). errors: EINVAL (not numeric) */
int os_addr_parse(const char *ip, uint16_t port, os_addr *out);

/* Writes "127.0.0.1:80", "[::1]:80", or "?" for none (always NUL-terminated). */
void os_addr_format(const os_addr *a, char out[OS_ADDR_TEXT]);

/* The port number of an address. */
uint16_t os_addr_port(const os_addr *a);

/* Looks a name up: up to max addresses for TCP, in the system's order of preference. Blocks.
 * result   how many (>= 1); ENAME, ENOMEM */
int os_resolve(const char *name, uint16_t port, os_addr *out, unsigned max);

typedef enum os_socket_type { OS_TCP, OS_UDP } os_socket_type;

/* Makes a socket of the family that addr has. errors: EMFILE, EAFNOSUPPORT, ENOBUFS, ENOMEM */
int  os_socket_open(os_socket_type type, const os_addr *family_of, os_socket *out);
void os_socket_close(os_socket s);

/* Binds. exclusive: refuse an address somebody else listens on, but not one in TIME_WAIT (SO_REUSEADDR on POSIX,
 * SO_EXCLUSIVEADDRUSE on Windows). IPv6 sockets are made v6-only first.
 * errors   EADDRINUSE, EADDRNOTAVAIL, EACCES */
int os_socket_bind(os_socket s, const os_addr *at);
int os_socket_listen(os_socket s, int backlog);

/* Ends a listening socket at once, even if the system holds on to it after os_socket_close, as it does for an operation
 * that is still on its way back. */
void os_socket_stop_listening(os_socket s);

/* Before the bind: several sockets of one user that all say so may listen on one address. The kernel gives each
 * connection to one of them, by a hash of its two addresses (SO_REUSEPORT on Linux).
 * errors   ENOTSUP (Windows) */
int os_socket_share_address(os_socket s);

/* Own and other end. errors: ENOTCONN */
int os_socket_local(os_socket s, os_addr *out);
int os_socket_peer(os_socket s, os_addr *out);

/* True if a stream is connected, or was until its peer reset it: then it has no peer any more, but an error to read. */
bool os_socket_was_connected(os_socket s);

/* Options: no Nagle delay; kernel buffer sizes (0 = leave); reset instead of an orderly end on close. */
int os_socket_set_nodelay(os_socket s, bool on);
int os_socket_set_buffers(os_socket s, int send_bytes, int recv_bytes);
int os_socket_set_reset_on_close(os_socket s);

/* Moves bytes at once. result: bytes (recv: 0 = the peer has finished), EAGAIN, ECONNRESET, EPIPE, ... */
int64_t os_socket_recv(os_socket s, void *data, size_t len);
int64_t os_socket_send(os_socket s, const void *data, size_t len);
int     os_socket_shutdown_send(os_socket s);

/* As those, for 1..OS_BUFS_MAX pieces of memory in one call. A datagram goes to `to` (NULL: to where the socket is
 * connected) as a whole or not at all; *out_from (may be NULL) is where one came from; *out_cut says whether it was
 * longer than the pieces, which then are full, and its rest is gone. */
int64_t os_socket_recv_bufs(os_socket s, const os_buf *bufs, unsigned count, os_addr *out_from, bool *out_cut);
int64_t os_socket_send_bufs(os_socket s, const os_buf *bufs, unsigned count, const os_addr *to);

/* Starts a connect (EAGAIN = under way; wait for OS_WRITABLE, then ask os_socket_take_error); accepts one. */
int os_socket_connect(os_socket s, const os_addr *to);
int os_socket_accept(os_socket listener, os_socket *out, os_addr *out_peer);
int os_socket_take_error(os_socket s);

enum { OS_READABLE = 1, OS_WRITABLE = 2 };

/* Waits for one socket: for tests and small clients; servers wait on a port.
 * result   OS_ bits that hold (an error counts as both); ETIMEDOUT. timeout_ns < 0 = for ever */
int os_socket_wait(os_socket s, int events, int64_t timeout_ns);

#endif
