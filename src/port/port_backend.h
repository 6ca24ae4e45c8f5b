/* port_backend.h - what a backend of port.h implements.   Layer: port (private to it).
 * port.c checks arguments that every backend would check alike and calls through these tables. */
#ifndef PORTICO_PORT_PORT_BACKEND_H
#define PORTICO_PORT_PORT_BACKEND_H
#include <stdatomic.h>

#include "port/port.h"

typedef struct port_backend port_backend;

/* What every backend's structs begin with. port.c fills it in; fixed from then on, but for refs and key. */
struct port {
  const port_backend *backend;
  _Atomic unsigned    refs; /* one for the owner, one for each attached handle */
};

struct port_handle {
  port     *port; /* NULL until attached; holds a reference */
  void     *key;
  os_socket socket; /* or file */
  port_kind kind;
};

typedef struct port_op_head {
  const port_backend *backend; /* who started it; NULL = never started */
} port_op_head;

typedef enum port_file_what { PORT_FILE_READ, PORT_FILE_WRITE, PORT_FILE_SYNC } port_file_what;

/* One per backend, constant. The functions have the meaning of their namesakes in port.h; port.c guarantees non-NULL
 * arguments, 1 <= count <= PORT_BUFS_MAX, and that handles are attached and of the right kind (but for take, try_send
 * and send_soon, of which there are too many to look). */
struct port_backend {
  const char *name;
  unsigned (*caps)(const port *p);
  unsigned (*concurrency)(const port *p);
  int (*open)(const port_options *options, port **out_port);
  size_t (*close)(port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg);
  void (*destroy)(port *p); /* last reference gone */
  int (*get)(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns, bool one_key);
  int (*post)(port *p, void *key, port_op *op, uint32_t bytes);
  int (*post_op)(port *p, void *key, port_op *op);
  void (*stats)(port *p, port_stats *out_stats);
  void (*flush)(port *p); /* NULL: send_soon keeps nothing back */
  int (*timer)(port *p, port_op *op, void *key, int64_t due_ns);

  size_t handle_bytes; /* size of the backend's struct that begins with a port_handle; it arrives zeroed */
  int (*attach)(port *p, port_handle *h); /* h->port is set already; port.c undoes that on failure */
  /* Closes an attached handle. The backend frees h and drops its reference to the port when nothing refers to it. */
  void (*handle_close)(port_handle *h, bool abort);
  int (*accept)(port_handle *h, port_op *op);
  os_socket (*accepted)(port_op *op, os_addr *out_peer);
  int (*connect)(port_handle *h, port_op *op, const os_addr *to);
  int (*recv)(port_handle *h, port_op *op, const port_buf *bufs, unsigned count);
  int (*recv_ready)(port_handle *h, port_op *op);
  int64_t (*take)(port_handle *h, port_op *op, void *scratch, size_t cap, const void **out_data);
  int (*send)(port_handle *h, port_op *op, const port_buf *bufs, unsigned count);
  int64_t (*try_send)(port_handle *h, const port_buf *bufs, unsigned count);
  int64_t (*send_soon)(port_handle *h, const port_buf *bufs, unsigned count);
  int (*recv_from)(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, os_addr *out_from);
  int (*send_to)(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, const os_addr *to);
  int (*shutdown_send)(port_handle *h);
  /* port_read, port_write and port_sync; len >= 1 and what port.h says of offset, both 0 for a sync. */
  int (*file)(port_handle *h, port_op *op, port_file_what what, void *data, uint32_t len, uint64_t offset);
  int (*cancel)(port_op *op);
  int (*cancel_all)(port_handle *h);
};

extern const port_backend port_epoll;
extern const port_backend port_sim;
extern const port_backend port_uring;
extern const port_backend port_iocp;

#endif
