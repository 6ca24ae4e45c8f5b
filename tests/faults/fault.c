/* fault.c - the wrappers. A call to f of an object that is linked with --wrap=f comes here as __wrap_f. */
#include "faults/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAULT_ERRORS_MAX = 20 };

static const struct {
  const char *name;
  int         errors[FAULT_ERRORS_MAX];
} fault_calls[FAULT_COUNT] = {
#define FAULT_ROW(name, ...) {#name, {__VA_ARGS__}},
    FAULT_CALLS(FAULT_ROW)
#undef FAULT_ROW
};

/* The plan. Written while no thread but the writer is at work, or by atomic steps. */
static _Atomic int           plan_call = -1; /* -1 = none; FAULT_COUNT = random */
static int                   plan_err;
static bool                  plan_on;
static unsigned              plan_rate;
static _Atomic unsigned long plan_left, plan_failed;
static _Atomic uint64_t      plan_random;
static _Atomic long          outstanding;
static _Thread_local bool    exempt_here;
static bool                  plan_shown;

/* There with a sanitizer only. */
extern void __sanitizer_print_stack_trace(void) __attribute__((weak));

void fault_show(void) {
  plan_shown = true;
}

const char *fault_name(fault_call call) {
  return fault_calls[call].name;
}

int fault_error(fault_call call, unsigned index) {
  return index < FAULT_ERRORS_MAX ? fault_calls[call].errors[index] : 0;
}

void fault_plan(fault_call call, int err, unsigned long n, bool on) {
  plan_err = err;
  plan_on = on;
  atomic_store(&plan_left, n);
  atomic_store(&plan_failed, 0);
  atomic_store(&plan_call, (int)call);
}

void fault_plan_random(uint64_t seed, unsigned rate) {
  plan_rate = rate;
  atomic_store(&plan_random, seed * UINT64_C(0x9E3779B97F4A7C15));
  atomic_store(&plan_failed, 0);
  atomic_store(&plan_call, FAULT_COUNT);
}

unsigned long fault_end(void) {
  atomic_store(&plan_call, -1);
  return atomic_load(&plan_failed);
}

bool fault_planned(fault_call call) {
  return atomic_load(&plan_call) == (int)call;
}

void fault_exempt(bool exempt) {
  exempt_here = exempt;
}

long fault_outstanding(void) {
  return atomic_load(&outstanding);
}

/* A number that follows from the seed and how many were asked for before. */
static uint64_t fault_random(void) {
  uint64_t z = atomic_fetch_add(&plan_random, UINT64_C(0x9E3779B97F4A7C15));
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

static int fault_at_random(fault_call call) {
  if (call == FAULT_ALLOCATE || fault_random() % plan_rate != 0) return 0;
  unsigned count = 0;
  while (fault_error(call, count) != 0) count++;
  return fault_error(call, (unsigned)(fault_random() % count));
}

int fault_now(fault_call call) {
  int plan = atomic_load(&plan_call), err = 0;
  if (plan < 0 || exempt_here) return 0;
  if (plan == FAULT_COUNT) {
    err = fault_at_random(call);
  } else if (plan == (int)call) {
    unsigned long left = atomic_load(&plan_left);
    while (left > 0 && !atomic_compare_exchange_weak(&plan_left, &left, left - 1)) {
    }
    if (left == 1 || (left == 0 && plan_on)) err = plan_err;
  }
  if (err == 0) return 0;
  atomic_fetch_add(&plan_failed, 1);
  if (plan_shown && __sanitizer_print_stack_trace != NULL) __sanitizer_print_stack_trace();
  return err;
}

/* ---- memory ----
 * The size of a block is not needed, only whether it counts: freed blocks of exempt threads are told by a set. */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void  __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void  __wrap_free(void *block);

static void *fault_count(void *made) {
  if (made != NULL) atomic_fetch_add(&outstanding, 1);
  return made;
}

static bool fault_refuses(void) {
  int err = fault_now(FAULT_ALLOCATE);
  if (err != 0) errno = err;
  return err != 0;
}

void *__wrap_malloc(size_t bytes) {
  return fault_refuses() ? NULL : fault_count(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes) {
  return fault_refuses() ? NULL : fault_count(__real_calloc(count, bytes));
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return fault_refuses() ? NULL : fault_count(__real_aligned_alloc(alignment, bytes));
}

void *__wrap_realloc(void *block, size_t bytes) {
  if (fault_refuses()) return NULL;
  return block == NULL ? fault_count(__real_realloc(NULL, bytes)) : __real_realloc(block, bytes);
}

void __wrap_free(void *block) {
  if (block != NULL) atomic_fetch_sub(&outstanding, 1);
  __real_free(block);
}

/* ---- system calls ---- */

/* Defines __wrap_f, which fails with -1 and errno, or makes the call. */
#define FAULT_WRAP(call, f, parameters, arguments) \
  int __real_##f parameters;                       \
  int __wrap_##f parameters;                       \
  int __wrap_##f parameters {                      \
    int err = fault_now(FAULT_##call);             \
    if (err == 0) return __real_##f arguments;     \
    errno = err;                                   \
    return -1;                                     \
  }
#define FAULT_WRAP_SIZE(call, f, parameters, arguments) \
  ssize_t __real_##f parameters;                        \
  ssize_t __wrap_##f parameters;                        \
  ssize_t __wrap_##f parameters {                       \
    int err = fault_now(FAULT_##call);                  \
    if (err == 0) return __real_##f arguments;          \
    errno = err;                                        \
    return -1;                                          \
  }

FAULT_WRAP(SOCKET, socket, (int family, int type, int protocol), (family, type, protocol))
FAULT_WRAP(BIND, bind, (int s, const struct sockaddr *at, socklen_t len), (s, at, len))
FAULT_WRAP(LISTEN, listen, (int s, int backlog), (s, backlog))
FAULT_WRAP(ACCEPT, accept4, (int s, struct sockaddr *from, socklen_t *len, int flags), (s, from, len, flags))
FAULT_WRAP(CONNECT, connect, (int s, const struct sockaddr *to, socklen_t len), (s, to, len))
FAULT_WRAP_SIZE(RECEIVE, recvmsg, (int s, struct msghdr *msg, int flags), (s, msg, flags))
FAULT_WRAP_SIZE(SEND, sendmsg, (int s, const struct msghdr *msg, int flags), (s, msg, flags))
FAULT_WRAP(GETSOCKNAME, getsockname, (int s, struct sockaddr *out, socklen_t *len), (s, out, len))
FAULT_WRAP(GETPEERNAME, getpeername, (int s, struct sockaddr *out, socklen_t *len), (s, out, len))
FAULT_WRAP(SETSOCKOPT, setsockopt, (int s, int level, int name, const void *value, socklen_t len),
           (s, level, name, value, len))
FAULT_WRAP(GETSOCKOPT, getsockopt, (int s, int level, int name, void *out, socklen_t *len), (s, level, name, out, len))
FAULT_WRAP(SHUTDOWN, shutdown, (int s, int how), (s, how))
FAULT_WRAP(EPOLL_CREATE, epoll_create1, (int flags), (flags))
FAULT_WRAP(EPOLL_CTL, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event), (epoll, what, fd, event))
FAULT_WRAP(EPOLL_WAIT, epoll_wait, (int epoll, struct epoll_event *out, int max, int ms), (epoll, out, max, ms))
FAULT_WRAP(EPOLL_WAIT, epoll_pwait2,
           (int epoll, struct epoll_event *out, int max, const struct timespec *wait, const sigset_t *mask),
           (epoll, out, max, wait, mask))
FAULT_WRAP(EVENTFD, eventfd, (unsigned first, int flags), (first, flags))
FAULT_WRAP(SOCKETPAIR, socketpair, (int family, int type, int protocol, int out[2]), (family, type, protocol, out))
FAULT_WRAP_SIZE(SEND, send, (int s, const void *data, size_t len, int flags), (s, data, len, flags))
FAULT_WRAP_SIZE(READ, pread, (int fd, void *out, size_t len, off_t offset), (fd, out, len, offset))
FAULT_WRAP_SIZE(WRITE, write, (int fd, const void *data, size_t len), (fd, data, len))
FAULT_WRAP_SIZE(WRITE_FILE, pwrite, (int fd, const void *data, size_t len, off_t offset), (fd, data, len, offset))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  int err = fault_now(FAULT_OPEN);
  if (err == 0) {
    va_list more;
    va_start(more, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(more, int) : 0;
    va_end(more);
    return __real_open(path, flags, mode);
  }
  errno = err;
  return -1;
}

/* On Linux the descriptor is gone whatever close says. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
  int result = __real_close(fd);
  int err = fault_now(FAULT_CLOSE);
  if (err == 0) return result;
  errno = err;
  return -1;
}

int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*body)(void *), void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*body)(void *), void *arg);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*body)(void *), void *arg) {
  int err = fault_now(FAULT_THREAD);
  return err != 0 ? err : __real_pthread_create(out, attr, body, arg);
}

int __real_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out);
int __wrap_getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  int err = fault_now(FAULT_RESOLVE);
  if (err != 0) return err == ENOMEM ? EAI_MEMORY : EAI_NONAME;
  return __real_getaddrinfo(name, service, hints, out);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value) {
  int err = fault_now(FAULT_AT_EXIT);
  return err != 0 ? err : __real_pthread_setspecific(key, value);
}

/* recv and send are made as bare system calls. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
  int err = number == SYS_recvfrom ? fault_now(FAULT_RECEIVE) : number == SYS_sendto ? fault_now(FAULT_SEND) : 0;
  if (err != 0) {
    errno = err;
    return -1;
  }
  long    a[6];
  va_list more;
  va_start(more, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(more, long); /* as many as there can be: what was not given is not read */
  va_end(more);
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
