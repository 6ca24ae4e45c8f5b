/* port_iocp.h - the insides of the Windows backend, shared by its four files.   Layer: port (private to port_iocp*.c).
 *
 *   port_iocp.c               the port: wait, post, close, numbers
 *   port_iocp_ops_win32.c     handles and the operations on them
 *   port_iocp_files_win32.c   operations on files
 *   port_iocp_timer_win32.c   timers: a heap, and one thread that posts what is due
 *
 * The queue, the order, the release of workers and the concurrency value are the kernel's own. */
#ifndef PORTICO_PORT_PORT_IOCP_H
#define PORTICO_PORT_PORT_IOCP_H
#include "base/heap.h"
#include "os/thread.h"
#include "port/port_backend.h"

typedef struct iocp_port   iocp_port;
typedef struct iocp_handle iocp_handle;
typedef struct iocp_op     iocp_op;

/* The native completion key tells what a native packet is, so that nothing has to be looked at before that is known
 * (a posted pointer may be wild). Any other value is the address of an iocp_handle: none is that small. */
enum {
  IOCP_KEY_POST = 1, /* with an iocp_posted */
  IOCP_KEY_OP,       /* with an iocp_op that was posted */
  IOCP_KEY_TIMER,    /* with an iocp_op */
  IOCP_KEY_RELEASE,  /* with nothing: wakes a worker of a port that is being closed */
};

/* What port_post was given; allocated, because the native packet has no room for all of it and a mark of ours. */
typedef struct iocp_posted {
  void    *key;
  port_op *op;
  uint32_t bytes;
} iocp_posted;

typedef enum iocp_kind {
  IOCP_IDLE, /* not started, or its packet was taken: the rest of the op means nothing */
  IOCP_ACCEPT,
  IOCP_CONNECT,
  IOCP_RECV, /* and recv_ready */
  IOCP_SEND, /* and send_to */
  IOCP_RECV_FROM,
  IOCP_READ, /* of a file */
  IOCP_WRITE,
  IOCP_SYNC,
  IOCP_TIMER,
} iocp_kind;

/* A sync, which the kernel offers as a call that waits only: a thread of the system's pool makes it. */
typedef enum iocp_sync_state {
  SYNC_WAITING, /* -> RUNNING, or ASKED when it is cancelled */
  SYNC_RUNNING, /* -> OVER, or ASKED */
  SYNC_ASKED,   /* -> OVER; with ECANCELED if it had not begun */
  SYNC_OVER,    /* its packet is on its way */
} iocp_sync_state;

/* Another thread may take the packet, and free the op, before the call that started it has returned: whatever the
 * kernel needs is written before that call, and nothing is touched after it unless it failed. */
struct iocp_op {
  port_op_head head;
  uint64_t     overlapped[4]; /* an OVERLAPPED; the kernel hands its address back */
  _Atomic int  kind;          /* of iocp_kind */
  int          err;           /* what we decided without the kernel; 0 = ask its status */
  iocp_op     *next, *prev;   /* the handle's list, under its lock */
  union {
    os_socket  socket; /* or file, where it was started; maybe closed since */
    iocp_port *port;   /* of a timer */
  };
  union {
    struct {
      os_socket socket; /* OS_SOCKET_NONE unless it brought one that nobody has fetched */
      union {
        void   *buffer; /* while pending: AcceptEx writes the addresses there */
        os_addr peer;   /* afterwards */
      };
    } accept;
    struct {
      os_addr  from;
      os_addr *out; /* may be NULL */
    } recv_from;
    os_addr to;
    void   *posted_key;
    struct {
      iocp_handle *handle;
      _Atomic int  state; /* of iocp_sync_state */
    } sync;
    struct {
      heap_node due; /* under the lock of the timers */
      void     *key;
    } timer;
  };
};

struct iocp_handle {
  port_handle      base;
  _Atomic unsigned refs; /* one until closed, one for each started op */
  os_mutex         lock; /* no other lock is taken under it */
  /* under lock */
  iocp_op *first, *last; /* started ops whose packets were not taken, in the order of their start */
  size_t   count;
  bool     closing; /* base.socket is closed; a file when refs is 0 */
  /* any thread */
  _Atomic bool shut;  /* our sending side */
  _Atomic bool alone; /* a stream known to have no peer; Windows would tell by itself, Wine tells other things */
};

typedef struct iocp_timers {
  os_mutex lock;
  /* under lock */
  heap due;
  bool running; /* there is a thread */
  bool stop;
  /* otherwise */
  os_thread thread;
  os_event  changed; /* the earliest timer is another, or stop */
} iocp_timers;

typedef unsigned long(__stdcall *iocp_error_fn)(long status);
typedef long(__stdcall *iocp_query_fn)(void *native, int what, void *out, unsigned long bytes, unsigned long *written);

struct iocp_port {
  port base;
  /* fixed after open */
  void         *native; /* stays open until the port is destroyed, so its number cannot become something else's */
  unsigned      concurrency;
  bool          wine;
  uintptr_t     id;       /* of this port among all that ever were; 0 is none */
  iocp_error_fn error_of; /* RtlNtStatusToDosError */
  iocp_query_fn query;    /* NtQueryIoCompletion */
  /* any thread */
  _Atomic bool     closed;
  _Atomic bool     unheard;        /* closed, and nobody will look at packets: an accepted socket would be lost */
  _Atomic unsigned users;          /* threads inside get or post: close waits until they are out */
  _Atomic unsigned waiting;        /* threads that wait for a packet */
  _Atomic unsigned active;         /* threads that took packets here and have not come back */
  _Atomic uint64_t started, taken; /* ops, timers and posts: ever started, ever taken off the queue */
  _Atomic size_t   orphans;        /* ops of closed handles whose packets were not taken */
  iocp_timers      timers;
  iocp_port       *next; /* in the list of all ports, under its lock */
};

/* ---- port_iocp.c ---- */

/* Queues a native packet. errors: ENOMEM */
int iocp_queue(iocp_port *p, uintptr_t native_key, void *what);

/* Takes native packets, up to max, waiting up to ms (UINT32_MAX = for ever).
 * result   false: none came. *out_count packets are for the caller, maybe none of those that came */
bool iocp_dequeue(iocp_port *p, port_packet *out_packets, unsigned max, uint32_t ms, unsigned *out_count);

/* ---- port_iocp_ops_win32.c ---- */

/* Readies an op for the kernel; NULL if the port is closed. */
iocp_op *iocp_op_begin(iocp_handle *h, port_op *base, iocp_kind kind);

/* Takes back what iocp_op_begin did, for an op that the kernel did not accept. Returns err. */
int iocp_op_undo(iocp_handle *h, iocp_op *op, int err);

/* Ends the op that a native packet of h names.
 * result   false: it was started anew, there is no packet yet */
bool iocp_op_finish(iocp_port *p, iocp_handle *h, void *overlapped, uint32_t bytes, port_packet *out_packet);

/* The namesakes in port_backend.h. */
int       iocp_attach(port *p, port_handle *h);
void      iocp_handle_close(port_handle *h, bool abort);
int       iocp_accept(port_handle *h, port_op *op);
os_socket iocp_accepted(port_op *op, os_addr *out_peer);
int       iocp_connect(port_handle *h, port_op *op, const os_addr *to);
int       iocp_recv(port_handle *h, port_op *op, const port_buf *bufs, unsigned count);
int       iocp_recv_ready(port_handle *h, port_op *op);
int64_t   iocp_take(port_handle *h, port_op *op, void *scratch, size_t cap, const void **out_data);
int       iocp_send(port_handle *h, port_op *op, const port_buf *bufs, unsigned count);
int64_t   iocp_try_send(port_handle *h, const port_buf *bufs, unsigned count);
int       iocp_recv_from(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, os_addr *out_from);
int       iocp_send_to(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, const os_addr *to);
int       iocp_shutdown_send(port_handle *h);
int       iocp_cancel(port_op *op);
int       iocp_cancel_all(port_handle *h);

/* ---- port_iocp_files_win32.c ---- */

/* The namesake in port_backend.h. */
int iocp_file(port_handle *h, port_op *op, port_file_what what, void *data, uint32_t len, uint64_t offset);

/* Asks a sync to end early. result: false if it is over, or was asked before */
bool iocp_sync_cancel(iocp_op *op);

/* ---- port_iocp_timer_win32.c ---- */

/* Makes and frees them; for the latter the thread must have been stopped. errors: ENOMEM */
int  iocp_timers_init(iocp_timers *t);
void iocp_timers_fini(iocp_timers *t);

/* Ends the thread. Later starts fail with ECLOSED. */
void iocp_timers_stop(iocp_timers *t);

/* After the stop: takes one timer out, as a packet that says ECANCELED; false when there is none left. */
bool iocp_timers_pop(iocp_port *p, port_packet *out_packet);

/* The namesake in port_backend.h; ends a timer early; turns its native packet into one for the caller. */
int         iocp_timer(port *p, port_op *op, void *key, int64_t due_ns);
int         iocp_timer_cancel(iocp_op *op);
port_packet iocp_timer_finish(iocp_op *op);

#endif
