/* poller_linux.c - poller.h by epoll, and an eventfd for the wake. */
#include "os/poller.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/sim_seam.h"

static_assert(sizeof(os_poll_event) == sizeof(struct epoll_event) &&
                  offsetof(os_poll_event, what) == offsetof(struct epoll_event, events) &&
                  offsetof(os_poll_event, owner) == offsetof(struct epoll_event, data.ptr),
              "the kernel writes arrays of os_poll_event");
static_assert((int)OS_POLL_IN == (int)EPOLLIN && (int)OS_POLL_OUT == (int)EPOLLOUT &&
                  (int)OS_POLL_ERR == (int)EPOLLERR && (int)OS_POLL_HUP == (int)EPOLLHUP &&
                  (int)OS_POLL_END == (int)EPOLLRDHUP,
              "the bits are the kernel's");

int os_poller_open(os_poller *out) {
  if (sim_here != NULL) return sim_poller_open(&out->simulated);
  os_poller p = {.simulated = NULL};
  p.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (p.epoll < 0) return os_error(errno);
  p.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
  if (p.wake >= 0 && epoll_ctl(p.epoll, EPOLL_CTL_ADD, p.wake, &ev) == 0) {
    *out = p;
    return 0;
  }
  int err = os_error(errno);
  if (p.wake >= 0) close(p.wake);
  close(p.epoll);
  return err;
}

void os_poller_close(os_poller *p) {
  if (p->simulated != NULL) {
    sim_poller_close(p->simulated);
    return;
  }
  close(p->wake);
  close(p->epoll);
}

/* ---- sockets ---- */

static int poller_control(os_poller *p, int how, os_socket s, void *owner) {
  struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = owner};
  if (epoll_ctl(p->epoll, how, s, &ev) == 0) return 0;
  return errno == EEXIST || errno == EPERM ? PORTICO_EINVAL : os_error(errno);
}

int os_poller_add(os_poller *p, os_socket s, void *owner) {
  if (p->simulated != NULL) return sim_poller_add(p->simulated, s, owner);
  return poller_control(p, EPOLL_CTL_ADD, s, owner);
}

int os_poller_again(os_poller *p, os_socket s, void *owner) {
  if (p->simulated != NULL) return sim_poller_again(p->simulated, s, owner);
  return poller_control(p, EPOLL_CTL_MOD, s, owner); /* a change makes the kernel look again */
}

void os_poller_remove(os_poller *p, os_socket s) {
  if (p->simulated != NULL) sim_poller_remove(p->simulated, s);
  else epoll_ctl(p->epoll, EPOLL_CTL_DEL, s, NULL);
}

/* ---- waiting ---- */

int os_poller_wait(os_poller *p, os_poll_event *out_events, unsigned max, int64_t until_ns) {
  if (p->simulated != NULL) return sim_poller_wait(p->simulated, out_events, max, until_ns);
  struct epoll_event *events = (struct epoll_event *)out_events;
  struct timespec     limit = {0};
  int64_t             left = 0;
  if (until_ns != INT64_MAX && until_ns != 0) left = until_ns - os_clock_now();
  if (left > 0) limit = (struct timespec){.tv_sec = left / OS_NS_PER_S, .tv_nsec = left % OS_NS_PER_S};
  int n = epoll_pwait2(p->epoll, events, (int)max, until_ns == INT64_MAX ? NULL : &limit, NULL);
  if (n < 0 && errno == ENOSYS) { /* uncovered: Linux before 5.11, in whole milliseconds, rounded up */
    int64_t ms = (left + OS_NS_PER_MS - 1) / OS_NS_PER_MS;
    int     wait_ms = until_ns == INT64_MAX ? -1 : left <= 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (int)ms;
    n = epoll_wait(p->epoll, events, (int)max, wait_ms);
  }
  return n > 0 ? n : 0;
}

void os_poller_wake(os_poller *p) {
  if (p->simulated != NULL) {
    sim_poller_wake(p->simulated);
    return;
  }
  uint64_t one = 1;
  /* Edge-triggered and never read: each write is an edge. It cannot fill up in a human lifetime. */
  ssize_t n;
  do n = write(p->wake, &one, sizeof one);
  while (n < 0 && errno == EINTR); /* uncovered: nothing else happens to it */
  CHECK(n == sizeof one);
}
