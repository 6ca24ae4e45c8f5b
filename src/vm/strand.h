/* strand.h - runs completions one at a time, in order, on whatever worker comes along.   Layer: vm.
 * The key of every packet is a strand. A worker that finds it busy leaves the completion in its mailbox and takes the
 * next packet; the worker that is in there runs it. So what belongs to a strand needs no lock.
 *
 * Completions that are there at the same time make a turn, up to STRAND_BATCH of them: they are run, and what they
 * asked for is done together in after_turn. */
#ifndef PORTICO_VM_STRAND_H
#define PORTICO_VM_STRAND_H
#include <stdatomic.h>

#include "base/sized.h"
#include "net/completion.h"

enum { STRAND_BATCH = SIZED(32, 2) }; /* completions of a turn, and in one go before other packets have theirs */

typedef struct strand strand;
struct strand {
  /* fixed */
  port *port;
  void (*after_turn)(strand *s); /* after the completions of a turn, still inside; may be NULL */
  /* any worker: NULL = idle; else busy, and this is what was left, newest first, down to the strand's own `resume` */
  completion *_Atomic mail;
  /* the worker inside */
  completion *order; /* taken from mail, oldest first */
  completion  resume; /* end of mail; posted to let other packets pass */
};

/* Makes an idle strand on a port. */
void strand_init(strand *s, port *p, void (*after_turn)(strand *s));
void strand_fini(strand *s);

/* Runs the completions of count packets, and what other workers leave meanwhile, or leaves them to the worker inside.
 * Called by a worker with packets whose key is s. */
void strand_deliver(strand *s, const port_packet *packets, unsigned count);

/* Sends a completion to the strand, from any thread; it runs later, with err and bytes 0, and is the strand's until
 * then. This cannot fail, for the completion brings all the memory it takes; the port must not be closed. */
void strand_post(strand *s, completion *c);

#endif
