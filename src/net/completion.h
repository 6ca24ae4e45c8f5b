/* completion.h - an operation that knows what to run when it ends: what every packet above the port is.   Layer: net.
 * The key of every packet is the strand that runs it (vm/strand.h); a completion runs only there. */
#ifndef PORTICO_NET_COMPLETION_H
#define PORTICO_NET_COMPLETION_H
#include <assert.h>

#include "base/check.h"
#include "port/port.h"

typedef struct completion completion;
struct completion {
  completion *next; /* in a strand's mailbox */
  void (*run)(completion *c); /* set before the start; no lock is held during the call */
  uint32_t bytes; /* of the packet */
  int      err;   /* of the packet */
  port_op  op;    /* last, see below */
};

/* The same with less of an op: enough for port_recv_ready and port_post. Its address is a completion's, too; there is
 * one in each connection. */
typedef struct waiting {
  completion *next;
  void (*run)(completion *c);
  uint32_t  bytes;
  int       err;
  port_wait op;
} waiting;
static_assert(offsetof(waiting, op) == offsetof(completion, op) && offsetof(waiting, run) == offsetof(completion, run),
              "a waiting is the beginning of a completion");

/* The completion that a packet ends, with what the packet says noted in it. */
static inline completion *completion_of(const port_packet *packet) {
  completion *c = container_of(packet->op, completion, op);
  c->bytes = packet->bytes;
  c->err = packet->err;
  return c;
}

#endif
