/* port_queue.h - the packet queue of the ports that have no kernel queue: FIFO of packets, stack of waiting workers,
 * concurrency gate, timers.   Layer: port (private to it).
 *
 * A backend brings only a source: how to wait for the kernel. One waiting worker at a time, the leader, polls that
 * source for all; the others are parked, each on its own event. The thread that does something is the one that pays:
 * posts and ends of operations hand the packet to a waiter on the spot. */
#ifndef PORTICO_PORT_PORT_QUEUE_H
#define PORTICO_PORT_PORT_QUEUE_H
#include "base/heap.h"
#include "os/thread.h"
#include "port/port_backend.h"

/* A packet on its way; lives in the op that it ends. Posts have no op to live in: they come in blocks of many, whose
 * head is a node without a packet of its own. */
typedef struct packet_node {
  struct packet_node *next;
  port_packet         packet;
  bool                posts; /* the head of a block of posts, see port_queue.c */
} packet_node;

/* Packets in order. Not thread-safe; zeroed = empty. */
typedef struct packet_list {
  packet_node *first, *last;
  size_t       count;
} packet_list;

/* Puts a node behind the others. */
void packet_list_append(packet_list *l, packet_node *n);

/* How a backend waits for the kernel. poll runs on the leader, without a lock: it waits until there is something, until
 * until_ns (os_clock_now; INT64_MAX = no limit) or until wake, and appends packets of operations that ended to out. */
typedef struct port_source {
  void (*poll)(void *backend, int64_t until_ns, packet_list *out);
  void (*wake)(void *backend);  /* any thread */
  void (*flush)(void *backend); /* any thread: lets go what it keeps back for the next poll; NULL = nothing */
} port_source;

/* A thread that waits on a port, or did. One per thread; found by the thread itself through thread-local storage. */
typedef enum member_state {
  MEMBER_OUT,      /* inside port_get, or of no port */
  MEMBER_ACTIVE,   /* running; only these count in port_queue.active */
  MEMBER_BLOCKED,  /* said so with port_block_enter */
  MEMBER_PRESUMED, /* found blocked by the monitor; ACTIVE again at its next call, or when it is seen running */
} member_state;

typedef struct member member;
struct member {
  struct port_queue *queue;    /* own thread only; holds a reference to the port */
  unsigned           brackets; /* own thread only: nesting of port_block_enter */
  os_event           event;    /* set when handed, promoted or released; waited for by the own thread */
  os_thread_view     view;     /* fixed while in a queue */
  _Atomic size_t     started;  /* operations that it has started; written by the own thread only */
  /* under queue->lock */
  member_state state;
  uint32_t     epoch;    /* counts changes of state: tells the monitor that a member moved */
  uint64_t     since;    /* when it began to wait: the greatest is the newest waiter */
  bool         parked;   /* on the stack of waiters; cleared by whoever takes it off */
  bool         handed;   /* it was given this packet while it waited */
  port_packet  packet;
  member      *older, *newer; /* neighbours on the stack */
  member      *next, *prev;   /* all members of the queue */
  member      *wake_next;     /* in a wake list, see port_queue.c */
  /* monitor's notes, touched by the monitor only */
  uint32_t seen_epoch;
  unsigned seen_asleep;
  int64_t  seen_cpu_ns;
};

typedef struct port_monitor {
  os_thread thread;
  os_event  event;
  bool      started; /* fixed after open */
  bool      parked;  /* under queue->lock: sleeps until a worker becomes active */
  bool      stop;    /* under queue->lock */
} port_monitor;

typedef struct port_queue {
  os_mutex lock;
  /* under lock: what a post touches, then what only a get does, so that the two share no more memory than they must */
  unsigned     active;          /* members in MEMBER_ACTIVE */
  packet_node *first, *last;
  size_t       queued;          /* packets, which may be more than nodes */
  member      *newest;          /* top of the stack of parked members */
  member      *leader;          /* polls the source right now */
  int64_t      leader_until_ns; /* how long it means to; 0 = it only looks, and comes back by itself */
  unsigned     waiting;         /* parked members and the leader */
  unsigned     taken_unpolled;  /* packets taken since the source was last polled */
  uint64_t     waits;           /* clock of member.since */
  uint64_t     polls;           /* how often the source was polled */
  uint64_t     taken;           /* packets taken */
  int64_t      busy_look_ns;    /* when the source last got a look in though packets were left */
  struct post_block *spare;     /* blocks for posts to come */
  unsigned           spares;
  heap         timers;
  member      *members;
  /* any thread */
  _Atomic bool   closed;  /* changes under lock; without it a hint */
  _Atomic size_t pending; /* started operations whose packet is not queued; with what members count, modulo 2^n */
  /* fixed after init */
  unsigned           max; /* concurrency value */
  const port_source *source;
  void              *backend;
  port              *port;
  port_monitor       monitor;
} port_queue;

/* Makes an empty queue for the port whose backend is given. errors: ENOMEM */
int  port_queue_init(port_queue *q, port *p, const port_options *options, const port_source *source, void *backend);
void port_queue_fini(port_queue *q); /* closed, and no member left */

/* The namesakes in port.h; get with one_key is port_get_run. */
size_t port_queue_close(port_queue *q, void (*on_drop)(const port_packet *packet, void *arg), void *arg);
int    port_queue_get(port_queue *q, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key);
int    port_queue_post(port_queue *q, void *key, port_op *op, uint32_t bytes);
int    port_queue_post_node(port_queue *q, packet_node *n); /* with its packet filled in */
void   port_queue_stats(port_queue *q, port_stats *out_stats);

/* After the close: hands the ends of started operations to on_drop and empties the list. result: how many */
size_t port_queue_drop(port_queue *q, packet_list *l, void (*on_drop)(const port_packet *packet, void *arg), void *arg);

/* After the close: waits until nobody polls the source any more. From then on the caller may. */
void port_queue_await_unled(port_queue *q);

/* True after port_queue_close. Only a hint: the close may come right after. */
bool port_queue_closed(port_queue *q);

/* Queues the ends of started operations, in order, and empties the list. On a closed queue they are forgotten. */
void port_queue_complete(port_queue *q, packet_list *l);

/* Counts a started operation; port_queue_complete takes it off again. */
void port_queue_started(port_queue *q);

/* A timer: node gets its packet queued when due. The packet is filled in by the caller. */
typedef struct queue_timer {
  packet_node node;
  heap_node   heap;
} queue_timer;

/* errors: ENOMEM, ECLOSED */
int port_queue_timer_start(port_queue *q, queue_timer *t, int64_t due_ns);

/* Ends it now, with ECANCELED. errors: ENOTFOUND (not waiting) */
int port_queue_timer_cancel(port_queue *q, queue_timer *t);

/* ---- for port_monitor.c ---- */

/* Moves a member to another state and keeps the count of active ones right. Needs the lock. */
void port_queue_move_locked(port_queue *q, member *m, member_state state);

/* Hands queued packets to waiters as far as the gate allows and, if nobody polls though somebody could, sets the newest
 * waiter to it when `promote`. Gives the lock back, then wakes. */
void port_queue_unlock_and_serve(port_queue *q, bool promote);

/* Starts and stops the monitor thread of a queue. errors: as os_thread_start */
int  port_monitor_start(port_queue *q);
void port_monitor_stop(port_queue *q);

#endif
