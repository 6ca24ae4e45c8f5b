/* run.h - one run, of a seed or of a fuzzer's bytes: a world, a port in it, operations that are watched, and what a
 * workload may ask for. A rule that does not hold ends the program, with the command that shows the same run again. */
#ifndef PORTICO_TESTS_SIM_RUN_H
#define PORTICO_TESTS_SIM_RUN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/clock.h"
#include "os/sim.h"
#include "os/socket.h"
#include "os/thread.h"
#include "port/port.h"

typedef struct run run;

/* An operation whose packet is awaited: exactly one must come, with the key and the kind it was started with. */
typedef struct watched watched;
struct watched {
  port_op     op; /* first: a packet names it */
  const char *what;
  unsigned    who; /* of the ends of streams, from 1; 0 = another */
  void       *key;
  bool        pending;
  bool        cancelled; /* port_cancel said that it would end early */
  void (*on_end)(run *r, watched *w, const port_packet *packet);
};

/* What a run is about: the port itself, or src/net on top of it. */
typedef struct run_parts {
  struct streams   *streams; /* these two or nets; the others are NULL */
  struct datagrams *datagrams;
  struct nets      *nets;
  struct ticks     *ticks;
  struct blocks    *blocks; /* or NULL */
} run_parts;

struct run {
  uint64_t seed;
  bool     trace;
  bool     chosen; /* by a fuzzer, which wants many short runs */
  const unsigned char *choices; /* its bytes decide until all are used up, then the generator does */
  size_t               choices_left;
  bool     calm; /* nothing goes wrong in here: whatever is sent must arrive */
  os_sim  *world;
  port    *p;
  unsigned concurrency; /* of the port */
  bool     monitor;     /* ... which has one */
  unsigned workers;     /* threads that take packets; 0 = the one that steps does it */
  os_mutex lock;        /* is held in steps and while a packet is handled: the workload is as if it had one thread */
  /* under lock */
  run_parts parts;
  size_t    pending;     /* watched operations and posts whose packets were not taken */
  size_t    busy;        /* parts of the workload that are not over */
  int64_t   progress_ns; /* when the last packet came */
  uint64_t  hash;        /* of all that the workload saw */
};

/* Ends the program unless the condition holds. */
#define EXPECT(r, condition) ((condition) ? (void)0 : run_fail((r), #condition, __FILE__, __LINE__))
_Noreturn void run_fail(const run *r, const char *what, const char *file, int line);

/* A number below n; true in `percent` of a hundred cases. */
uint64_t run_random(run *r, uint64_t n);
bool     run_chance(run *r, unsigned percent);

/* A line of the trace of what the workload does or sees. */
void run_note(run *r, const char *what, unsigned who, int64_t amount);

/* To be called right before an operation is started; then what the start returned. True if it is under way; false on an
 * error, which in a calm run there must not be. */
void run_starting(watched *w, const char *what, unsigned who, void *key,
                  void (*on_end)(run *r, watched *w, const port_packet *packet));
bool run_started(run *r, watched *w, int err);

/* Cancels it if it is pending, and checks what that returns. */
void run_cancel(run *r, watched *w);

/* ---- the parts of a workload; each counts as busy until it is over ---- */

typedef struct streams   streams;
typedef struct nets      nets;
typedef struct datagrams datagrams;
typedef struct ticks     ticks;
typedef struct blocks    blocks;

/* Clients and servers over streams, in streams.c; open starts, step does something now and then, close checks what is
 * left and frees. */
streams *streams_open(run *r);
void     streams_step(streams *s);
void     streams_close(streams *s);

/* The same over src/net, in nets.c. Its operations are not watched: nets_own tells which packets are its. The step also
 * ends the turn of the packets that came before it. */
nets *nets_open(run *r);
bool  nets_own(const nets *n, const port_packet *packet);
void  nets_on_packet(nets *n, const port_packet *packet);
void  nets_step(nets *n);
void  nets_close(nets *n);

/* Two that send datagrams to each other, in datagrams.c. */
datagrams *datagrams_open(run *r);
void       datagrams_close(datagrams *d);

/* Timers and posts, in ticks.c. */
ticks *ticks_open(run *r);
void   ticks_step(ticks *t);
void   ticks_close(ticks *t);

/* Takes a packet of a post to whom it belongs. */
void ticks_on_post(ticks *t, const port_packet *packet);
extern char ticks_post_key; /* its address is the key of posts */

/* Handlers that block until another packet is handled, in blocks.c; for runs with at least two workers. */
blocks *blocks_open(run *r);
void    blocks_step(blocks *b);
void    blocks_close(blocks *b);
void    blocks_on_post(blocks *b, const port_packet *packet);
extern char blocks_post_key; /* as above */

/* ---- threads that take packets, in workers.c ---- */

typedef struct workers workers;

/* Starts r->workers of them, who set `left` when they leave; starts those anew that have; waits for their end, once the
 * port is closed. */
workers *workers_open(run *r, os_event *left);
void     workers_step(workers *w);
void     workers_close(workers *w);

/* Waits for an event in the middle of a handler, so that another worker must run instead: in a bracket, or so that the
 * monitor has to notice. Without the lock, which is held before and afterwards. result: true if it was set */
bool worker_wait(run *r, os_event *e, bool bracket, int64_t timeout_ns);

/* ---- one run ---- */

/* Hands out a packet. */
void run_on_packet(run *r, const port_packet *packet);

/* Runs one seed to its end. result: the hash of what happened */
uint64_t run_seed(uint64_t seed, bool trace);

/* What a run is about: one of these, or what the seed chooses. */
typedef enum run_about { RUN_PORT, RUN_NETS, RUN_ANY } run_about;

/* Runs what bytes decide: the first ones how calm it is, the rates of faults and the seed of the world, the others what
 * the workload does. A rule that does not hold aborts. */
void run_choices(run_about about, const unsigned char *choices, size_t len, bool trace);

#endif
