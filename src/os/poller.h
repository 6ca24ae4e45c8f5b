/* poller.h - which of many sockets are ready: epoll, as the port uses it.   Layer: os.
 * A socket is added once, for both directions, and announced once for each change (edge-triggered): who is told that it
 * is ready tries until a call says EAGAIN. Announcements may come without a reason. */
#ifndef PORTICO_OS_POLLER_H
#define PORTICO_OS_POLLER_H
#include "os/socket.h"

/* Bits of os_poll_event.what; the values are epoll's. */
enum {
  OS_POLL_IN = 0x001,  /* there is something to receive or accept */
  OS_POLL_OUT = 0x004, /* there is room to send, or a connect has ended */
  OS_POLL_ERR = 0x008, /* an error waits to be taken */
  OS_POLL_HUP = 0x010, /* both directions have ended */
  OS_POLL_END = 0x2000 /* the peer has finished sending */
};

/* The kernel's own form, so that nothing is copied for each event: there it has no gap between its members. */
#if defined(__linux__) && defined(__x86_64__)
#define OS_POLL_PACKED __attribute__((packed))
#else
#define OS_POLL_PACKED
#endif
typedef struct os_poll_event {
  uint32_t what; /* OS_POLL_ bits */
  union {
    void    *owner; /* as given with the socket; NULL: somebody called os_poller_wake */
    uint64_t word;  /* as wide as the kernel's is */
  };
} OS_POLL_PACKED os_poll_event;

/* Lives in its owner; its content is this module's. */
typedef struct os_poller {
  struct os_sim_poller *simulated; /* NULL: it is the kernel's */
  int                   epoll, wake; /* descriptors */
} os_poller;

/* Makes one, of the calling thread's world (os/sim.h) if it is in one; ends one that nobody waits on.
 * errors   EMFILE, ENOMEM; ENOTSUP (Windows: only worlds have them) */
int  os_poller_open(os_poller *out);
void os_poller_close(os_poller *p);

/* Adds a socket, with a pointer that its events carry; has it announced anew if it is ready; takes it out, which must
 * come before its close. owner is not NULL.
 * errors   EINVAL (no socket that can be waited for, or already in), ENOMEM, ENOBUFS
 * threads  any, also while another one waits; an event that was fetched before a remove is not taken back */
int  os_poller_add(os_poller *p, os_socket s, void *owner);
int  os_poller_again(os_poller *p, os_socket s, void *owner);
void os_poller_remove(os_poller *p, os_socket s);

/* Waits for 1..max events, until until_ns (os_clock_now; INT64_MAX = no limit) or os_poller_wake; 0 = looks only. May
 * end early.
 * result   how many; 0 = none
 * threads  one at a time */
int os_poller_wait(os_poller *p, os_poll_event *out_events, unsigned max, int64_t until_ns);

/* Ends the wait that is going on, or the next one. threads: any */
void os_poller_wake(os_poller *p);

#endif
