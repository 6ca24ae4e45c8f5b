/* fixture.h - what every case of the contract suite stands on: ports, owned things, deadlines, expected packets.
 * Asserts run on the test thread only. Whatever a case leaves behind that it should not, fails its teardown. */
#ifndef PORTICO_TESTS_PORT_FIXTURE_H
#define PORTICO_TESTS_PORT_FIXTURE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/socket.h"
#include "os/thread.h"
#include "port/port.h"

#define KEY(n)         ((void *)(uintptr_t)(n)) /* a key that is just a number */
#define STOP           KEY(0x570B570B)          /* the key of the packet that ends a serving worker */
#define BUF(data, len) (&(port_buf){(data), (len)})
#define COUNT_OF(a)    (sizeof(a) / sizeof((a)[0]))
#define MS(n)          ((int64_t)(n) * OS_NS_PER_MS)
#define CASE(name)     cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

typedef struct fixture fixture;

/* Setup and teardown of every case; *state is the fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* ---- what a case owns; all of it is released by the teardown ---- */

/* Opens a port of the backend under test (PORTICO_TEST_BACKEND), without or with the monitor. */
port *fixture_port(fixture *f, unsigned concurrency);
port *fixture_port_monitored(fixture *f, unsigned concurrency);

/* Closes it before the end of the case; it stays usable as a closed port. Returns the number of dropped packets. */
size_t fixture_close_port(fixture *f, port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg);

/* Zeroed memory that lives until the ports are gone, also when the case fails half-way. */
void    *fixture_memory(fixture *f, size_t bytes);
port_op *fixture_op(fixture *f);
port_op *fixture_ops(fixture *f, size_t count); /* an array */

/* Takes over a socket; closes one before the end. */
os_socket fixture_own(fixture *f, os_socket s);
void      fixture_close_socket(fixture *f, os_socket s);

/* Makes an owned socket into a handle that the fixture owns, attached unless p is NULL; closes one before the end. */
port_handle *fixture_handle(fixture *f, os_socket s, port_kind kind, port *p, void *key);
void         fixture_close(fixture *f, port_handle *h);
void         fixture_abort(fixture *f, port_handle *h);

/* The path of a file in a folder of this case; what is there at the end is removed. */
const char *fixture_path(fixture *f, const char *name);

/* Opens that file, as os_file_open says, as a handle that the fixture owns, attached unless p is NULL. */
port_handle *fixture_file(fixture *f, const char *path, unsigned how, port *p, void *key);

/* Called by the teardown, before anything else is released, with arg: how worker.c ends its threads. */
void fixture_at_end(fixture *f, void (*end)(fixture *f, void *arg), void *arg);

/* What fixture_at_end was given, or NULL. */
void *fixture_end_arg(const fixture *f);

/* Posts n STOP packets to every open port: one for each worker that could wait there. */
void fixture_post_stops(fixture *f, unsigned n);

/* ---- skipping, time ---- */

/* Skips the case, with the reason printed, if the port lacks the capability. */
void fixture_need(const port *p, unsigned cap);

/* True where the suite runs as a Windows program, hence maybe under Wine, where every call is a trip to its server. */
bool fixture_slow(void);

/* How long to wait at most for what must come; what passes for "at once" on a busy machine; how long to watch that
 * something does not happen; rounds of a stress case. */
int64_t  fixture_deadline(void);
int64_t  fixture_soon(void);
int64_t  fixture_quiet(void);
unsigned fixture_rounds(unsigned count);

/* Sleeps: for poll loops, and where time itself is under test. */
void fixture_pause(int64_t ns);

/* Waits until a number of port_get_stats has that value; until a counter has reached it. False: not in time. */
typedef enum fixture_stat { QUEUED, WAITING, ACTIVE, PENDING } fixture_stat;
bool   fixture_settles(port *p, fixture_stat which, size_t value);
bool   fixture_counts(const atomic_uint *counter, unsigned value);
size_t fixture_stat_of(port *p, fixture_stat which);

/* ---- packets, taken by the test thread, which thereby becomes a member of the port ---- */

#define take_packet(p)                        fixture_take((p), __FILE__, __LINE__)
#define expect_packet(p, key, op, bytes, err) fixture_expect((p), (key), (op), (bytes), (err), __FILE__, __LINE__)
#define expect_silence(p)                     fixture_expect_silence((p), __FILE__, __LINE__)

/* The next packet, which must come; which must be this one; no packet may come and nothing be pending. */
port_packet fixture_take(port *p, const char *file, int line);
void        fixture_expect(port *p, void *key, port_op *op, uint32_t bytes, int err, const char *file, int line);
void        fixture_expect_silence(port *p, const char *file, int line);

#endif
