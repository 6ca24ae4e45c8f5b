/* listener.h - accepts connections, several at a time, and survives running out of descriptors.   Layer: net.
 * Lives on one strand, like a stream. */
#ifndef PORTICO_NET_LISTENER_H
#define PORTICO_NET_LISTENER_H
#include "base/sized.h"
#include "net/completion.h"

enum { LISTENER_ACCEPTS = SIZED(8, 1) }; /* in flight at once */

typedef struct listener listener;

typedef struct listener_handlers {
  /* A connection; the socket is the callee's. */
  void (*on_accept)(listener *l, os_socket socket, const os_addr *peer);
  /* Out of descriptors or memory (err < 0): accepting pauses and is tried again; or it has worked again for
   * some seconds (0). Once each, in turns. */
  void (*on_trouble)(listener *l, int err);
  /* The last call, after listener_close: memory may go. */
  void (*on_close)(listener *l);
} listener_handlers;

typedef enum listener_state { LISTENER_OPEN, LISTENER_CLOSED } listener_state;

typedef struct listener_accept {
  completion accept; /* also the timer of its pause */
  listener  *listener;
} listener_accept;

struct listener {
  const listener_handlers *on;
  port                    *port;
  void                    *key;
  port_handle             *handle;
  os_addr                  at; /* with the real port number; fixed after listener_open */
  listener_accept          accepts[LISTENER_ACCEPTS];
  unsigned                 inflight; /* accepts and pauses whose packet has not come */
  listener_state           state;
  bool                     in_trouble;
  int64_t                  trouble_ns; /* when it was last seen */
};

/* Kernel options of the listening socket; accepted ones inherit the buffer sizes. 0 = the system's default. */
typedef struct listener_options {
  int  backlog, send_buffer, recv_buffer;
  bool reuse_port; /* others with this option may listen on the address, too; the kernel spreads connections. When one
                      of them closes, those that wait to be accepted by it are lost */
} listener_options;

/* Binds and listens, in memory of the caller's; connections queue up in the kernel until listener_start.
 * threads  any: nothing is started yet
 * errors   EADDRINUSE, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, EMFILE, ENOMEM; ENOTSUP (reuse_port on Windows) */
int listener_open(listener *l, port *p, void *key, const os_addr *at, const listener_options *options,
                  const listener_handlers *on);

/* Starts to accept. On the strand. */
void listener_start(listener *l);

/* Stops listening; on_close follows when the last accept is back, inside this call if none is out. On the strand. */
void listener_close(listener *l);

#endif
