/* fault.h - makes calls of the C library fail, at the n-th call or at random, in programs that link fault.c with
 * --wrap (tests/CMakeLists.txt). Counts what was allocated and is not freed yet on the way.
 *
 * One plan at a time for the whole process. Threads that play the outside world (a client) exempt themselves. */
#ifndef PORTICO_TESTS_FAULTS_FAULT_H
#define PORTICO_TESTS_FAULTS_FAULT_H
#include <stdbool.h>
#include <stdint.h>

/* Every call that can be made to fail: name, and the errors of its manual page that a server can meet and survive.
 * Left out is what only a mistake of ours could cause (EBADF, EFAULT, EINVAL), and a false EAGAIN: with edge-triggered
 * polling that would be a lie about the kernel's state. */
#define FAULT_CALLS(X)                                                                   \
  X(ALLOCATE, ENOMEM)                                                                    \
  X(SOCKET, EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT)                       \
  X(BIND, EADDRINUSE, EADDRNOTAVAIL, EACCES, ENOMEM)                                     \
  X(LISTEN, EADDRINUSE)                                                                  \
  X(ACCEPT, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR, EPERM, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN,    \
    ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH)                                       \
  X(CONNECT, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EACCES, EPERM, ENOBUFS) \
  X(RECEIVE, EINTR, ECONNRESET, ENOMEM, ETIMEDOUT, EHOSTUNREACH)                         \
  X(SEND, EINTR, ECONNRESET, EPIPE, ENOBUFS, ENOMEM, ETIMEDOUT, EHOSTUNREACH)            \
  X(GETSOCKNAME, ENOBUFS)                                                                \
  X(GETPEERNAME, ENOBUFS, ENOTCONN)                                                      \
  X(SETSOCKOPT, ENOMEM, ENOPROTOOPT)                                                     \
  X(GETSOCKOPT, ENOBUFS)                                                                 \
  X(SHUTDOWN, ENOTCONN)                                                                  \
  X(CLOSE, EINTR, EIO)                                                                   \
  X(EPOLL_CREATE, EMFILE, ENFILE, ENOMEM)                                                \
  X(EPOLL_CTL, ENOMEM, ENOSPC)                                                           \
  X(EPOLL_WAIT, EINTR)                                                                   \
  X(EVENTFD, EMFILE, ENFILE, ENOMEM)                                                     \
  X(OPEN, EMFILE, ENFILE, ENOENT, EACCES)                                                \
  X(READ, EINTR, EIO)                                                                    \
  X(WRITE, EINTR)                                                                        \
  X(WRITE_FILE, EINTR, EIO, ENOSPC, EFBIG)                                               \
  X(THREAD, EAGAIN)                                                                      \
  X(AT_EXIT, ENOMEM)                                                                     \
  X(SOCKETPAIR, EMFILE, ENFILE, ENOBUFS)                                                 \
  X(RESOLVE, ENOMEM, ENOENT)                                                             \
  X(RING_SETUP, ENOSYS, EPERM, EINVAL, ENOMEM, EMFILE)                                   \
  X(RING_BUFFERS, EINVAL, ENOMEM)                                                        \
  X(RING_SUBMIT, EINTR, EAGAIN, EBUSY)                                                   \
  X(RING_RESULT, EINTR, EAGAIN, ECANCELED)

typedef enum fault_call {
#define FAULT_ENUM(name, ...) FAULT_##name,
  FAULT_CALLS(FAULT_ENUM)
#undef FAULT_ENUM
  FAULT_COUNT
} fault_call;

/* Of io_uring (fault_uring.c) only the call that submits is one. RING_RESULT is what the kernel says of a request: of
 * its last completion, if that neither brings bytes nor a connection. */

/* Name of a call; the index-th of its errors, 0 after the last. */
const char *fault_name(fault_call call);
int         fault_error(fault_call call, unsigned index);

/* From now on the n-th call (1 = the next) of this kind fails with err; with `on`, each one after it, too. */
void fault_plan(fault_call call, int err, unsigned long n, bool on);

/* True if it is calls of this kind that are to fail. */
bool fault_planned(fault_call call);

/* Counts a call. result: 0 = it is to be made; else the error that it fails with */
int fault_now(fault_call call);

/* From now on each call but allocations fails with probability 1/rate, with one of its errors, as seed decides. */
void fault_plan_random(uint64_t seed, unsigned rate);

/* From now on each call that is made to fail prints where it was made (in a build with a sanitizer). */
void fault_show(void);

/* Ends the plan. result: how many calls have failed by it */
unsigned long fault_end(void);

/* Of this thread: its calls neither count nor fail. */
void fault_exempt(bool exempt);

/* Allocations of threads that are not exempt, minus what was freed of them by anybody. */
long fault_outstanding(void);

#endif
