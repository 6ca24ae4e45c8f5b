/* completion.h - an operation that knows what to run when it ends: what every packet above the port is.   Layer: net.
 * The key of every packet is the strand that runs it (vm/strand.h); a completion runs only there. */
#ifndef PORTICO_NET_COMPLETION_H
#define PORTICO_NET_COMPLETION_H
#include "port/port.h"

typedef struct completion completion;
struct completion {
  port_op     op;   /* first: a packet's op is its completion */
  completion *next; /* in a strand's mailbox */
  void (*run)(completion *c); /* set before the start; no lock is held during the call */
  uint32_t bytes; /* of the packet */
  int      err;   /* of the packet */
};

/* The completion that a packet ends, with what the packet says noted in it. */
static inline completion *completion_of(const port_packet *packet) {
  completion *c = (completion *)packet->op;
  c->bytes = packet->bytes;
  c->err = packet->err;
  return c;
}

#endif
