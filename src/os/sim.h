/* sim.h - a simulated kernel: a network in memory, with a clock and a generator of its own.   Layer: os.
 *
 * A thread that has entered a world gets its sockets, its pollers and its time from there: the functions of socket.h,
 * poller.h and clock.h are the same. One seeded generator decides every order, delay, split, loss and error, and, in a
 * world with a virtual clock, whose turn it is among the threads: so a program does the same there each time, on every
 * system.
 *
 * What the world promises is what Linux promises: bytes of a stream arrive in order and once, or the stream is reset; a
 * poller announces each change once, and after each call that said EAGAIN or moved less than it could have. Who relies
 * on more finds out by some seed. */
#ifndef PORTICO_OS_SIM_H
#define PORTICO_OS_SIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct os_sim os_sim;

typedef enum os_sim_clock {
  /* Leaps to what happens next when all wait; a reader sees it move by a little. The threads of the world have turns,
   * one at a time: they must not wait for threads that are not in there. */
  OS_SIM_VIRTUAL,
  OS_SIM_REAL, /* the system's: then the generator does not control the threads */
} os_sim_clock;

enum { OS_SIM_ALWAYS = 1000000 };

/* How often something goes wrong, or otherwise than usual: times in OS_SIM_ALWAYS. */
typedef struct os_sim_rates {
  /* what every program must bear without a difference to see */
  uint32_t delay;        /* what was sent, a connection, or room to send arrives later */
  uint32_t split;        /* bytes sent in one call arrive in parts, or a receive takes fewer than there are */
  uint32_t short_send;   /* a send takes fewer bytes than there is room for */
  uint32_t again;        /* a call says EAGAIN although it could have done something */
  uint32_t spurious;     /* a socket is announced without a reason */
  uint32_t shuffle;      /* announcements come in another order, and fewer at a time */
  uint32_t stall;        /* the program stands still for a while: virtual time leaps at a look at the clock */
  uint32_t preempt;      /* virtual clock: at a call into this layer the turn may go to another thread */
  /* what it has to deal with */
  uint32_t reset;        /* a connection breaks, at a send */
  uint32_t refuse;       /* a connect is refused although somebody listens */
  uint32_t descriptors;  /* EMFILE: of a new socket, accepted or not */
  uint32_t buffers;      /* ENOBUFS: the same, and for a datagram */
  uint32_t memory;       /* ENOMEM: the same, and for a poller */
  uint32_t drop, duplicate, reorder; /* datagrams */
} os_sim_rates;

typedef struct os_sim_options {
  uint64_t     seed;
  os_sim_clock clock;
  unsigned     sockets_max;  /* at a time, then EMFILE; 0 = 1024 */
  size_t       buffer_bytes; /* how much of what was sent on a stream may be unread; 0 = 64 KiB */
  int64_t      delay_ns_max; /* longest delay, and longest stall; 0 = 1 ms */
  os_sim_rates rates;
  /* Called for each thing that happens, with a line of text; NULL = nobody looks. Must not call into the world. */
  void (*on_trace)(const char *line, void *arg);
  void *trace_arg;
} os_sim_options;

/* A picture of a world. */
typedef struct os_sim_stats {
  size_t   sockets;     /* open, connections that nobody accepted included */
  size_t   under_way;   /* things that are still to arrive */
  int64_t  next_ns;     /* when the first of them is due; INT64_MAX = there is none */
  uint64_t happened;    /* lines of the trace so far */
  uint64_t trace_hash;  /* of all of them: equal for equal runs */
  uint64_t stale_calls; /* calls that named a socket that was not open */
} os_sim_stats;

/* Makes a world that no thread is in; gives it up. Its memory stays as long as a thread is in it or a poller of it is
 * open; its sockets are then forgotten.
 * errors   ENOMEM */
int  os_sim_open(const os_sim_options *options, os_sim **out_world);
void os_sim_close(os_sim *w);

/* From now on things go wrong so often; are told to on_trace (NULL = to nobody). threads: any */
void os_sim_set_rates(os_sim *w, const os_sim_rates *rates);
void os_sim_set_trace(os_sim *w, void (*on_trace)(const char *line, void *arg), void *arg);

/* Makes it the calling thread's world, until the leave; threads that this one starts begin and end in there, and are
 * joined from there. Sockets are known in their world only. A thread that is in no world is told EINVAL about them.
 * Where the clock is virtual it comes in when those that are in there have left, or wait; and while nobody is in there
 * but threads that were started there, the world stands still. */
void os_sim_enter(os_sim *w);
void os_sim_leave(void);

/* The calling thread's world, or NULL. */
os_sim *os_sim_here(void);

/* In a world with a virtual clock: lets the other threads of the world run until all of them wait; if they do already,
 * time passes until one need not any more, or something happens, at most for timeout_ns.
 * result   true if one of them ran */
bool os_sim_wait(int64_t timeout_ns);

/* The world's numbers. threads: any */
void os_sim_get_stats(os_sim *w, os_sim_stats *out_stats);

/* A number below n >= 1 from the world's generator: for workloads, so that one seed decides them, too. */
uint64_t os_sim_random(os_sim *w, uint64_t n);

#endif
