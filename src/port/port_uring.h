/* port_uring.h - what the parts of the io_uring backend share.   Layer: port (private to it).
 *
 * One ring per port. Any thread writes requests into it, under a lock for a few instructions; whoever leads the queue
 * (port_queue.h) hands them to the kernel in the same call that waits, and reaps what has ended. Three facts of
 * io_uring shape the rest:
 *
 *  - A request belongs to the thread that submitted it. When that thread is gone, the request ends with "cancelled"
 *    though nobody asked; it is then simply made again.
 *  - Two sends in flight on one socket may overtake each other. So there is one request per handle and kind. A file has
 *    one for each op.
 *  - Closing a descriptor cancels nothing. So a close asks each request to end, and the handle's memory stays until the
 *    last one has. Since requests name descriptors by number, all of them have to be with the kernel before a number is
 *    given back. (A file's descriptor goes when its last request has ended.) */
#ifndef PORTICO_PORT_PORT_URING_H
#define PORTICO_PORT_PORT_URING_H
#include <liburing.h>

#include "base/sized.h"
#include "port/port_sock.h"

enum {
  URING_ENTRIES = SIZED(1024, 8),          /* requests between two submits; more submit by themselves */
  URING_COMPLETIONS = SIZED(8192, 16),     /* what the kernel keeps without a detour */
  URING_BUFFERS = SIZED(512, 4),           /* that receives share; a power of two */
  URING_BUFFER_BYTES = SIZED(4 * 1024, 61), /* when a receive fills one, more comes, see uring_handle.bulk */
  URING_BUFFER_STRIDE = URING_BUFFER_BYTES + 64, /* or the beginnings of all would compete for the same cache lines */
  URING_BULK_MIN = SIZED(2 * 1024, 31),    /* less at once is bulk no more */
  URING_OUT_BYTES = SIZED(2 * 1024, 61),   /* longest send that is copied to leave with others */
  URING_OUTS_MAX = SIZED(1024, 2),         /* such copies at a time */
  URING_PARTS_MAX = SIZED(4, 1),           /* received and not asked for, before a handle's receive is stopped */
  URING_REAP_MAX = SIZED(64, 2),           /* completions at a time: what they touch is still in the caches then */
};

/* Which request of a handle: the low bits of user_data, and bits of uring_handle.armed. */
typedef enum uring_request {
  URING_NONE = 0, /* of no handle: a wake-up, a cancel */
  URING_RECEIVE = 1,
  URING_ACCEPT = 2,
  URING_READABLE = 3,
  URING_WRITABLE = 4,
  URING_OUT = 5,
  URING_HELD = 6, /* no request: the handle is not closed yet */
  URING_FILE = 7, /* names an op, not a handle */
  URING_REQUEST_MASK = 7,
} uring_request;

typedef struct uring_handle uring_handle;

/* What a request brought and nobody has taken: bytes in a buffer of the ring, or copied from one; or a connection. */
typedef struct uring_part uring_part;
struct uring_part {
  uring_part    *next;
  unsigned char *data;
  uint32_t       len;
  int            buffer; /* of the ring; -1 = on the heap */
  os_socket      socket;
};

/* Bytes on their way out, copied from the sender. The kernel is asked to say something only if it does not take them
 * all: otherwise they have left when their request is known to have been looked at. So nobody is woken to hear that all
 * went well. What it did not take follows in a request that waits for room and always ends with a completion. */
typedef struct uring_out uring_out;
struct uring_out {
  uring_out    *next; /* while free, or in uring_port.sent */
  uring_handle *handle;
  unsigned      request; /* its place in the submission queue */
  uint32_t      begin, end;
  unsigned char data[URING_OUT_BYTES];
};

struct uring_handle {
  port_handle base;
  os_mutex    lock; /* before uring_port.lock */
  /* under lock; of a file under the port's files_lock: closing and files, and the rest means nothing */
  uint8_t     armed;       /* 1 << request: a completion that names the handle is to come */
  uint8_t     cancelled;   /* of these: was asked to end */
  uint8_t     parts_count; /* a receive or accept is stopped long before it is full */
  bool        connected;
  bool        shut;     /* our sending side, or it will be as soon as `out` has left */
  bool        closing;
  bool        bulk;     /* much comes: received straight into the taker's memory, after a poll request */
  bool        readable; /* in bulk: the poll has said so, and nothing has said otherwise since */
  int         ended;    /* the peer's end (URING_EOF), or the error that ended receiving; 0 = neither */
  int         failed;   /* the error of a send that the caller had been told was taken */
  union {
    struct {
      sock_line recvs, sends;
    };
    size_t files; /* ops in flight */
    struct {
      uring_handle *next_closed, *prev_closed; /* under the port's lock */
    };
  };
  uring_part *parts; /* a ring, found by its last */
  uring_part *taken; /* what port_take handed out last; given back by the next start */
  uring_out  *out;
};
enum { URING_EOF = 1 };

typedef struct uring_port {
  port            base;
  port_queue      queue;
  struct io_uring ring;
  _Atomic bool    asleep;             /* the leader waits in the kernel, or is about to: submit yourself */
  _Atomic bool    awaited;            /* something waits for an uring_out to have left: do not sleep before a look */
  _Atomic(uring_part *) returned;     /* buffers that nobody reads any more */
  os_mutex        lock;
  /* under lock */
  unsigned        tail; /* of the submission queue */
  uring_handle   *closed; /* whose last request has not ended */
  uring_out      *outs; /* free */
  uring_out      *sent, *sent_last; /* in flight and without a word so far, oldest first */
  unsigned        outs_count; /* made */
  os_mutex        files_lock; /* before lock */
  /* under files_lock */
  sock_files      files; /* ops on files, in flight */
  bool            files_closed;
  /* the leader's */
  unsigned        buffers_free; /* with the kernel */
  /* fixed, but for what the kernel and the leader write into the buffers */
  struct io_uring_buf_ring *buffers;
  unsigned char            *buffer_bytes;
  uring_part                parts[URING_BUFFERS];
} uring_port;

/* From the general part to ours. */
static inline uring_port *uring_of(port *p) {
  return (uring_port *)p;
}
static inline uring_port *uring_port_of(const uring_handle *h) {
  return (uring_port *)h->base.port;
}

/* ---- port_uring_ring.c: the ring ---- */

/* Makes ring and buffers and proves with a connection of its own that all that is used works here.
 * errors   ENOTSUP, ENOMEM, EMFILE; *out_what = the step that failed */
int  uring_ring_open(uring_port *p, const char **out_what);
void uring_ring_close(uring_port *p);

/* Begins a request and locks the port: fill in what is returned, then end it. user_data is set by uring_end. */
struct io_uring_sqe *uring_begin(uring_port *p);

/* Publishes the request, which names a handle or, if of a file, an op. It goes to the kernel with the next wait; at
 * once if somebody waits already, unless the caller is going to call uring_flush. */
void uring_end(uring_port *p, struct io_uring_sqe *sqe, const void *named, uring_request request, bool flushed);

/* Hands to the kernel what is published. threads: any */
void uring_submit(uring_port *p);

/* Submits if there is something to. threads: any */
void uring_flush(uring_port *p);

/* Waits for completions until until_ns (0 = looks only), submitting on the way. The leader's. */
void uring_wait(uring_port *p, int64_t until_ns);

/* The next completion, copied out. False if there is none. The leader's. */
bool uring_next(uring_port *p, struct io_uring_cqe *out);
bool uring_has_next(const uring_port *p);

/* How many requests the kernel has looked at so far. What went wrong with them at once is among the completions from
 * now on until there is no next. */
unsigned uring_looked_at(const uring_port *p);

/* Gives a part back. threads: any */
void uring_part_free(uring_port *p, uring_part *part);

/* Bytes that arrived in a buffer, as a part. With few buffers left they are copied to the heap, so that who does not
 * read cannot starve the others. NULL: no memory. The leader's. */
uring_part *uring_part_received(uring_port *p, unsigned buffer, uint32_t len);

/* ---- port_uring_ops.c: what a completion does to a handle ---- */

/* The leader's. Packets of ops that ended are appended to out. */
void uring_on_completion(uring_port *p, const struct io_uring_cqe *cqe, packet_list *out);

/* The requests before `looked_at` have been looked at, and all completions since then have been seen. The leader's. */
void uring_on_sent(uring_port *p, unsigned looked_at, packet_list *out);

/* Something waits for an uring_out to have left: the leader is to look before it sleeps, or wakes up. threads: any */
void uring_await_sent(uring_port *p);

/* ---- port_uring_files.c: files ---- */

/* A request of an op on a file has ended with res. The leader's, or of the thread that closes the port. */
void uring_on_file(uring_port *p, sock_op *op, int res, packet_list *out);

/* Asks all ops on files to end, and lets none start any more. result: true the first time */
bool uring_files_stop(uring_port *p);

/* True while there is one that has not ended. */
bool uring_files_busy(uring_port *p);

/* The part of port_uring's table that is about files. */
int  uring_file(port_handle *base, port_op *op, port_file_what what, void *data, uint32_t len, uint64_t offset);
int  uring_file_cancel(sock_op *op);
int  uring_file_cancel_all(port_handle *base);
void uring_file_handle_close(port_handle *base);

extern const port_backend port_uring;

/* The part of port_uring's table that is about handles. */
int       uring_attach(port *p, port_handle *base);
void      uring_handle_close(port_handle *base, bool abort);
int       uring_accept(port_handle *base, port_op *base_op);
os_socket uring_accepted(port_op *base_op, os_addr *out_peer);
int       uring_connect(port_handle *base, port_op *base_op, const os_addr *to);
int       uring_recv(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count);
int       uring_recv_ready(port_handle *base, port_op *base_op);
int64_t   uring_take(port_handle *base, port_op *op, void *scratch, size_t cap, const void **out_data);
int       uring_send(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count);
int64_t   uring_try_send(port_handle *base, const port_buf *bufs, unsigned count);
int64_t   uring_send_soon(port_handle *base, const port_buf *bufs, unsigned count);
int uring_recv_from(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, os_addr *out_from);
int uring_send_to(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, const os_addr *to);
int uring_shutdown_send(port_handle *base);
int uring_cancel(port_op *base);
int uring_cancel_all(port_handle *base);

#endif
