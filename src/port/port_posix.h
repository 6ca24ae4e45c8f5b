/* port_posix.h - operations as the backends over POSIX sockets keep them, and one try at each.   Layer: port (private).
 * Nothing in here waits or locks: the lock of the handle is the backend's. */
#ifndef PORTICO_PORT_PORT_POSIX_H
#define PORTICO_PORT_PORT_POSIX_H
#include "port/port_queue.h"

typedef enum posix_kind {
  POSIX_ACCEPT,
  POSIX_RECV,
  POSIX_RECV_READY,
  POSIX_RECV_FROM,
  POSIX_CONNECT,
  POSIX_SEND,
  POSIX_SEND_TO,
  POSIX_TIMER,
} posix_kind;

/* Which buffers, how far, from or to whom. */
typedef struct posix_data {
  port_buf *bufs; /* &one, or allocated together with the address to send to */
  port_buf  one;
  os_addr  *addr;         /* receive-from: where to write; send-to: where to (NULL = connected) */
  uint32_t  done;         /* bytes moved so far */
  uint16_t  count, index; /* bufs[index] is the next to move */
} posix_data;

/* What is in a port_op. */
typedef struct posix_op posix_op;
struct posix_op {
  port_op_head head;
  union {
    port_handle *handle;
    port_queue  *queue; /* of a timer */
  };
  _Atomic int pending; /* changed under the handle's lock; 0 before the packet is queued */
  posix_kind  kind;
  union {
    queue_timer timer;
    struct {
      packet_node ended; /* the packet to come; while pending its node links the line */
      union { /* not of a recv_ready, see port_wait */
        posix_data data;
        struct {
          os_socket socket;
          os_addr   peer;
        } accepted;
      };
    };
  };
};

/* Ops of one direction in the order of their start: a ring, found by its last; NULL = none. */
typedef struct posix_line {
  posix_op *last;
} posix_line;

/* The first of a line, NULL = none; one more; one less, wherever it is. */
posix_op *posix_line_first(const posix_line *l);
void      posix_line_append(posix_line *l, posix_op *op);
void      posix_line_remove(posix_line *l, posix_op *op);

/* True if the op is one that sends, or connects. */
bool posix_is_send(const posix_op *op);

/* Fills in a new op of a handle; then, if it has buffers, those and an address. They are the caller's until
 * posix_op_keep copies the array, and the address to send to, since the op outlives the call.
 * errors   ENOBUFS */
posix_op *posix_op_init(port_op *base, port_handle *h, posix_kind kind);
void      posix_op_use(posix_op *op, const port_buf *bufs, unsigned count, os_addr *addr);
int       posix_op_keep(posix_op *op);

/* The op is over: its copies go, its packet goes to the others. It is in no line any more. */
void posix_op_pack(posix_op *op, uint32_t bytes, int err, packet_list *out);

/* Starts a timer. errors: as port_timer */
int posix_timer(port_queue *q, port_op *base, void *key, int64_t due_ns);

/* Copies received bytes into the op's buffers. result: how many had room */
size_t posix_op_fill(posix_op *op, const unsigned char *bytes, size_t len);

/* One try, without waiting. A datagram that was cut is EMSGSIZE.
 * result   > 0 or 0: the op has ended, with that many bytes; EAGAIN: it has to wait; other errors: it has ended */
int64_t posix_try(posix_op *op);

/* How many bytes had moved when an op ended with `result`; when it was cancelled. */
uint32_t posix_bytes(const posix_op *op, int64_t result);

/* Offers pieces to the kernel in one call. result: as port_try_send */
int64_t posix_offer(os_socket s, const port_buf *bufs, unsigned count);

/* True if a stream is connected, or was until its peer reset it: then it has no peer any more, but an error to read. */
bool posix_was_connected(os_socket s);

#endif
