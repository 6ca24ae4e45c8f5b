/* port_sock.h - operations as the backends that try sockets keep them, and one try at each.   Layer: port (private).
 * Nothing in here waits or locks: the lock of the handle is the backend's. */
#ifndef PORTICO_PORT_PORT_SOCK_H
#define PORTICO_PORT_PORT_SOCK_H
#include "port/port_queue.h"

typedef enum sock_kind {
  SOCK_ACCEPT,
  SOCK_RECV,
  SOCK_RECV_READY,
  SOCK_RECV_FROM,
  SOCK_CONNECT,
  SOCK_SEND,
  SOCK_SEND_TO,
  SOCK_TIMER,
  SOCK_POST,
  SOCK_FILE_READ, /* and those behind it: not of a socket, see sock_is_file */
  SOCK_FILE_WRITE,
  SOCK_FILE_SYNC,
} sock_kind;

/* sock_op.pending of an op on a file, which the system may have in its hands: asking is not ending. Changed under the
 * lock of whoever keeps those. */
typedef enum file_state {
  FILE_OVER,      /* -> WAITING or RUNNING when it is started */
  FILE_WAITING,   /* -> RUNNING, or OVER when it is cancelled */
  FILE_RUNNING,   /* -> OVER */
  FILE_CANCELLED, /* was RUNNING and asked to end; -> OVER */
} file_state;

/* Which buffers, how far, from or to whom. */
typedef struct sock_data {
  port_buf *bufs; /* &one, or allocated together with the address to send to */
  port_buf  one;
  os_addr  *addr;         /* receive-from: where to write; send-to: where to (NULL = connected) */
  uint32_t  done;         /* bytes moved so far */
  uint16_t  count, index; /* bufs[index] is the next to move */
} sock_data;

/* What part of a file, and how far. */
typedef struct sock_file {
  unsigned char  *data;
  uint64_t        offset;
  uint32_t        len, done;
  void           *keeper;      /* the backend's: its lock guards the op; the handle may be gone sooner */
  struct sock_op *next, *prev; /* in a sock_files */
} sock_file;

/* Ops on files, in order; zeroed = empty. */
typedef struct sock_files {
  struct sock_op *first, *last;
} sock_files;

/* What is in a port_op. */
typedef struct sock_op sock_op;
struct sock_op {
  port_op_head head;
  union {
    port_handle *handle;
    port_queue  *queue; /* of a timer */
  };
  _Atomic int pending; /* changed under the handle's lock; 0 before the packet is queued. Of a file: a file_state */
  sock_kind  kind;
  union {
    queue_timer timer;
    struct {
      packet_node ended; /* the packet to come; while pending its node links the line */
      union { /* not of a recv_ready, see port_wait */
        sock_data data;
        sock_file file;
        struct {
          os_socket socket;
          os_addr   peer;
        } accepted;
      };
    };
  };
};

/* Ops of one direction in the order of their start: a ring, found by its last; NULL = none. */
typedef struct sock_line {
  sock_op *last;
} sock_line;

/* The first of a line, NULL = none; one more; one less, wherever it is. */
sock_op *sock_line_first(const sock_line *l);
void     sock_line_append(sock_line *l, sock_op *op);
void     sock_line_remove(sock_line *l, sock_op *op);

/* True if the op is one that sends, or connects. */
bool sock_is_send(const sock_op *op);

/* Fills in a new op of a handle; then, if it has buffers, those and an address. They are the caller's until
 * sock_op_keep copies the array, and the address to send to, since the op outlives the call.
 * errors   ENOBUFS */
sock_op *sock_op_init(port_op *base, port_handle *h, sock_kind kind);
void     sock_op_use(sock_op *op, const port_buf *bufs, unsigned count, os_addr *addr);
int      sock_op_keep(sock_op *op);

/* The op is over: its copies go, its packet goes to the others. It is in no line any more. */
void sock_op_pack(sock_op *op, uint32_t bytes, int err, packet_list *out);

/* Starts a timer; posts an op. errors: as port_timer, port_post_op */
int sock_timer(port_queue *q, port_op *base, void *key, int64_t due_ns);
int sock_post(port_queue *q, port_op *base, void *key);

/* True if the op is one on a file. */
bool sock_is_file(const sock_op *op);

/* Fills in a new op on a file. */
sock_op *sock_file_init(port_op *base, port_handle *h, port_file_what what, void *data, uint32_t len, uint64_t offset);

/* One more; one less, wherever it is. */
void sock_files_append(sock_files *l, sock_op *op);
void sock_files_remove(sock_files *l, sock_op *op);

/* Notes what the system says of the next part: bytes (a read: 0 = the end of the file), or an error.
 * result   true: the op is over, with *out_err; false: there is more to do */
bool sock_file_advance(sock_op *op, int64_t n, int *out_err);

/* Copies received bytes into the op's buffers. result: how many had room */
size_t sock_op_fill(sock_op *op, const unsigned char *bytes, size_t len);

/* One try, without waiting. A datagram that was cut is EMSGSIZE.
 * result   > 0 or 0: the op has ended, with that many bytes; EAGAIN: it has to wait; other errors: it has ended */
int64_t sock_try(sock_op *op);

/* How many bytes had moved when an op ended with `result`; when it was cancelled. */
uint32_t sock_bytes(const sock_op *op, int64_t result);

/* Offers pieces to the kernel in one call. result: as port_try_send */
int64_t sock_offer(os_socket s, const port_buf *bufs, unsigned count);

#endif
