/* worker.h - threads under the hand of the test, which tells them step by step what to do.
 * Between two steps a worker spins, for only a worker that runs counts as running; after worker_enter and worker_sleep
 * it really sleeps. Every step but the waiting ones is over when the call returns. */
#ifndef PORTICO_TESTS_PORT_WORKER_H
#define PORTICO_TESTS_PORT_WORKER_H
#include "fixture.h"

typedef struct worker worker;
typedef void (*worker_fn)(worker *w, void *arg);
typedef void (*worker_packet_fn)(worker *w, const port_packet *packet, void *arg);

enum { WORKER_PACKETS = 16 };

/* What its last wait brought: to be looked at when worker_returned (or the assert below) has said that it is over. */
typedef struct worker_result {
  int         count; /* as port_get returned it */
  port_packet packets[WORKER_PACKETS];
  int64_t     began_ns, ended_ns;
} worker_result;

/* Starts a thread, which is no member of any port yet. It is ended and joined by the teardown. */
worker *worker_start(fixture *f);

/* Ends the thread, as its next step, and joins it. */
void worker_exit(worker *w);

/* ---- steps that wait: the call only sets the worker going ---- */

/* One port_get, for one packet and without a time limit to speak of; with all arguments. */
void worker_get(worker *w, port *p);
void worker_get_n(worker *w, port *p, unsigned max, int64_t timeout_ns);

/* As worker_get, and returns when the worker is parked as the k-th waiter. */
#define worker_park(w, p, k) (worker_get((w), (p)), assert_true(fixture_settles((p), WAITING, (k))))

/* Serves the port: on_packet for every packet until a STOP comes. worker_served tells how many so far. */
void     worker_serve(worker *w, port *p, worker_packet_fn on_packet, void *arg);
unsigned worker_served(const worker *w);

/* Runs any body on the thread. */
void worker_run(worker *w, worker_fn body, void *arg);

/* Waits until the step is over; true if it is still going on after the quiet time. */
bool                 worker_returned(worker *w);
bool                 worker_stays(worker *w);
const worker_result *worker_result_of(const worker *w);

/* Asserts that the wait ended with one packet of this key; with this error. */
#define assert_got(w, wanted)                                                    \
  do {                                                                           \
    assert_true(worker_returned(w));                                             \
    assert_int_equal(worker_result_of(w)->count, 1);                             \
    assert_int_equal((uintptr_t)worker_result_of(w)->packets[0].key, (wanted));  \
  } while (0)
#define assert_got_error(w, err)                          \
  do {                                                    \
    assert_true(worker_returned(w));                      \
    assert_int_equal(worker_result_of(w)->count, (err));  \
  } while (0)

/* ---- steps that do not wait ---- */

void worker_enter(worker *w);     /* port_block_enter, then asleep until the next step */
void worker_leave(worker *w);     /* port_block_leave; spins again if no other bracket is open */
void worker_sleep(worker *w);     /* asleep until the next step, without a bracket */
void worker_wake(worker *w);      /* spins again */
bool worker_look(worker *w, port *p); /* port_get with no time-out: true if it brought a packet */

/* ---- many ---- */

/* Sets count new workers to serving the port. */
void workers_serve(fixture *f, worker **out_workers, unsigned count, port *p, worker_packet_fn on_packet, void *arg);

/* Sends each a STOP and joins them; false if one did not end in time. */
bool workers_stop(worker **workers, unsigned count, port *p);

#endif
