/* port.h - the completion port: one contract, one backend per kind of system.   Layer: port (may include base, os).
 *
 * Workers wait on a port; operations (ops) on handles, which are sockets or files, end as completion packets in its
 * queue. What holds on every backend (a backend that cannot keep a rule says so in port_caps):
 *
 *  - Packets leave in the order they were queued. Waiting workers are released newest first (LIFO).
 *  - At most `concurrency` workers run. A worker that blocks stops counting: it says so with port_block_enter, or the
 *    monitor notices (Linux), or the kernel does (Windows). When it goes on there may for a moment be one too many.
 *  - On Linux one waiting worker polls the kernel for all. It keeps the first packet of what it reaps, though a worker
 *    that came later may be parked: it is awake and hot, and handing over costs a context switch per message. Posted
 *    packets, and all others of the batch, go to the newest waiter.
 *  - Starting an op returns 0: exactly one packet will come, even if the op ended at once and even before the call
 *    returns. Or it returns an error: no packet will come. Bad arguments and wrong states (never connected, already
 *    shut down, closed) are always reported by the call; for what the network did (reset, broken pipe) a backend may
 *    use either way.
 *  - From a successful start until its packet is taken, an op, its buffers and its address belong to the port. The
 *    array of port_buf itself is copied.
 *  - On a socket one op per direction is in the kernel at a time; others wait in the order of their start. Several
 *    senders on one handle must take turns by themselves. On a file any number is, and each names its place.
 *  - Cancelling or closing ends each pending op once, with ECANCELED, or with what had already happened to it.
 *
 * All functions may be called from any thread unless they say otherwise. */
#ifndef PORTICO_PORT_PORT_H
#define PORTICO_PORT_PORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "os/file.h"

typedef struct port        port;
typedef struct port_handle port_handle;

/* Room for one operation; its content is the backend's. Zero it once before first use; it may be started again as
 * soon as its packet has been taken. Embed it first in your own struct to get from packet to struct. */
typedef struct port_op {
  void *opaque[14];
} port_op;

/* The beginning of a port_op: all that port_recv_ready and port_post_op need of one. What may wait in great numbers has
 * only that and passes its address as a port_op's. */
typedef struct port_wait {
#ifdef _WIN32
  void *opaque[14]; /* the kernel wants its part there, too */
#else
  void *opaque[8];
#endif
} port_wait;

/* What a wait returns. Of posted packets nothing is looked at: any values come back bit for bit. */
typedef struct port_packet {
  void    *key;   /* of the handle, timer or post */
  port_op *op;    /* which operation ended (or what was posted) */
  uint32_t bytes; /* transferred; accept, connect and timers: 0 */
  int      err;   /* 0 or PORTICO_E... */
} port_packet;

typedef os_buf port_buf;

enum { PORT_BUFS_MAX = OS_BUFS_MAX, PORT_WAIT_FOREVER = -1, PORT_WHY_BYTES = 128 };

/* What a backend keeps of the rules that not every kernel honours. */
enum {
  PORT_CAP_LIFO        = 1, /* waiting workers are released newest first */
  PORT_CAP_CONCURRENCY = 2, /* the concurrency value is honoured */
  PORT_CAP_MONITOR     = 4, /* a blocked worker is noticed without a bracket */
};

typedef struct port_options {
  const char *backend;     /* NULL or "auto": the best one here */
  unsigned    concurrency; /* 0 = the processors this process may use */
  bool        monitor;     /* notice blocked workers (where the kernel does not do it for us) */
  char       *out_why;     /* NULL, or room for PORT_WHY_BYTES: what the system refused, if an open fails for that */
} port_options;

/* A picture for tests and metrics; each number is exact at some moment of the call. */
typedef struct port_stats {
  size_t   queued;  /* packets that nobody has taken */
  unsigned waiting; /* workers inside port_get with nothing to do */
  unsigned active;  /* workers counted as running */
  size_t   pending; /* started ops, timers included, whose packet is not queued yet */
} port_stats;

/* ---- the port ---- */

/* Makes a port.
 * errors   ENOTSUP (no such backend here, or the kernel lacks what it needs), EACCES (it is forbidden here), EMFILE,
 *          ENOMEM
 * owns     one reference, yours: port_close, then port_unref */
int port_open(const port_options *options, port **out_port);

/* Names the backend that number index (0, 1, ...) has here; NULL after the last. In a simulated network (os/sim.h) that
 * is "sim" alone, which elsewhere is none. Who asks for one that is not here is told ENOTSUP. */
const char *port_backend_name(unsigned index);

/* Releases every waiter with ECLOSED and hands each packet that is still queued to on_drop (may be NULL), on this
 * thread. Afterwards get, post and starts fail with ECLOSED; handles are still to be closed. Safe order: close the
 * handles, get until port_stats.pending is 0, release and join the workers, close the port.
 * result   number of dropped packets */
size_t port_close(port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg);

/* Adds a reference: the port's memory stays, closed or not, until the last port_unref. Handles hold one each. So does,
 * on Linux, each thread that waited on the port, until it waits on another one, finds this one closed, or exits. */
void port_ref(port *p);

/* Gives one reference back; the last one frees the port, which must be closed. */
void port_unref(port *p);

/* Name, concurrency value, PORT_CAP_ bits and numbers of a port. */
const char *port_name(const port *p);
unsigned    port_concurrency(const port *p);
unsigned    port_caps(const port *p);
void        port_get_stats(port *p, port_stats *out_stats);

/* Takes 1..max packets, oldest first, as soon as there is one; never waits to fill up. The calling thread becomes a
 * member of the port (of one port at a time) and counts as running from the return, also from a time-out, until it
 * comes back, blocks, exits or waits on another port.
 * units    timeout_ns: 0 = look only, PORT_WAIT_FOREVER; never ends early
 * result   packets taken (>= 1); ETIMEDOUT (also while packets are queued but `concurrency` others run); ECLOSED;
 *          EINVAL (max == 0); ENOMEM (a thread that is no member yet). out_packets is not touched on failure */
int port_get(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns);

/* As port_get, but takes packets of one key only: it stops before another, and a packet with the key NULL comes alone.
 * For who runs the packets of one key one after the other anyway, so that nobody waits who could have run them. Where
 * the kernel hands out packets blindly (Windows) it takes one. */
int port_get_run(port *p, port_packet *out_packets, unsigned max, int64_t timeout_ns);

/* Queues a packet of the caller's own; op may be NULL or any value.
 * errors   ENOMEM, ECLOSED */
int port_post(port *p, void *key, port_op *op, uint32_t bytes);

/* As port_post, with 0 bytes, but the packet rides in the op, which belongs to the port until then: so this never lacks
 * memory. A port_wait is enough of an op for it. For messages that must not get lost.
 * errors   EINVAL (no op), ECLOSED */
int port_post_op(port *p, void *key, port_op *op);

/* Brackets a blocking call: between enter and leave the calling thread does not count as running and a waiting worker
 * is released in its place. They nest, never wait, and do nothing on a thread that no port knows. */
void port_block_enter(void);
void port_block_leave(void);

/* ---- handles ---- */

typedef enum port_kind { PORT_LISTENER, PORT_STREAM, PORT_DATAGRAM, PORT_FILE } port_kind;

/* Wraps a socket (non-blocking, overlapped, as os/socket.h makes them), or for PORT_FILE an os_file, which is of the
 * same type; it belongs to the handle from success on. A PORT_STREAM may be connected already or not.
 * errors   EINVAL, ENOMEM */
int port_handle_open(os_socket s, port_kind kind, port_handle **out_handle);

/* port_handle_open and port_attach in one, in no more memory than a handle of this port needs. On failure the socket or
 * file is still the caller's. errors: as those */
int port_adopt(port *p, os_socket s, port_kind kind, void *key, port_handle **out_handle);

/* Ties a handle to a port for life; key comes back in each of its packets.
 * errors   EINVAL (no handle, or already attached: nothing changes), ECLOSED, ENOMEM, ENOBUFS */
int port_attach(port *p, port_handle *h, void *key);

/* Changes the key; allowed only while the handle has no pending op and no queued packet. */
void port_handle_set_key(port_handle *h, void *key);

/* Closes: pending ops end with ECANCELED (their packets may come after the return), the socket goes. A file goes when
 * the last of its ops has ended. The handle must not be used after the call. */
void port_handle_close(port_handle *h);

/* As port_handle_close, but the peer of a stream sees a reset and unsent bytes are dropped. To a file the same. */
void port_handle_abort(port_handle *h);

/* The socket or file, for os_ calls that only ask or set options. It stays the handle's. */
os_socket port_handle_socket(const port_handle *h);

/* ---- operations on handles: EINVAL by the call on a handle of the wrong kind (port_take, port_try_send and
 * port_send_soon, of which there are many, may say ENOTCONN) ---- */

/* Waits for one connection; port_accepted then hands out its socket.
 * errors   by the call: EINVAL, ECLOSED, ENOBUFS; by packet: EMFILE, ENOBUFS, ENOMEM (the listener lives: try again
 *          later), ECANCELED */
int port_accept(port_handle *h, port_op *op);

/* The socket that an accept packet without error brought, with the peer's address; the caller owns it. Once only. */
os_socket port_accepted(port_op *op, os_addr *out_peer);

/* Connects a stream. The address is copied.
 * errors   by the call: EINVAL, EISCONN, ECLOSED; by packet or call: ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ... */
int port_connect(port_handle *h, port_op *op, const os_addr *to);

/* Receives into count buffers; ends with >= 1 byte as soon as there is one, or with 0 bytes when the peer has
 * finished sending (again and again). Several may be pending: they fill in the order they were started.
 * errors   by the call: EINVAL (no buffers), ENOTCONN, ESHUTDOWN, ECLOSED, ENOBUFS; by packet or call: ECONNRESET */
int port_recv(port_handle *h, port_op *op, const port_buf *bufs, unsigned count);

/* Waits until there is something to receive (bytes, end or error), without a buffer: an idle connection pins none.
 * The packet says 0 bytes; fetch with port_take. A port_wait is enough of an op for it. Now and then there is nothing
 * after all: port_take then says EAGAIN and the wait is simply started again. One at a time per handle, and not beside
 * port_recv. */
int port_recv_ready(port_handle *h, port_op *op);

/* Fetches what port_recv_ready announced: *out_data points into scratch, or at memory of the backend that stays valid
 * until the next start on this handle.
 * result   > 0 bytes; 0 the peer has finished; EAGAIN nothing there; ECONNRESET and the like
 * threads  one at a time per handle */
int64_t port_take(port_handle *h, port_op *op, void *scratch, size_t cap, const void **out_data);

/* Sends all bytes of count buffers; one packet when the last one was taken by the kernel, or an error. Several may be
 * pending: they leave in the order they were started, never mixed.
 * errors   by the call: EINVAL, ENOTCONN, ESHUTDOWN, ECLOSED, ENOBUFS; by packet or call: ECONNRESET, EPIPE. The
 *          packet's bytes count what the kernel took before the error */
int port_send(port_handle *h, port_op *op, const port_buf *bufs, unsigned count);

/* Offers bytes to the kernel at once, without a packet. Only while no port_send is pending on the handle.
 * result   bytes taken (maybe fewer than offered); EAGAIN (none: use port_send); ECONNRESET, EPIPE, ... */
int64_t port_try_send(port_handle *h, const port_buf *bufs, unsigned count);

/* As port_try_send, for who sends to several handles one after the other: the bytes may leave only when this thread
 * comes back to port_get or calls port_flush or port_block_enter, so that a backend can hand over all of them in one
 * system call. Then an error is reported by a later call on the handle, as it is for bytes in the kernel's buffer. */
int64_t port_send_soon(port_handle *h, const port_buf *bufs, unsigned count);

/* Lets go what port_send_soon was given, on whatever thread. */
void port_flush(port *p);

/* Receives one datagram; *out_from (may be NULL) is written before the packet is queued. A datagram longer than the
 * buffers fills them, the packet says EMSGSIZE with the bytes received. 0 bytes is a datagram like any other. */
int port_recv_from(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, os_addr *out_from);

/* Sends one datagram (to NULL: to where the socket is connected). The address is copied.
 * errors   EMSGSIZE (nothing was sent) by call or packet */
int port_send_to(port_handle *h, port_op *op, const port_buf *bufs, unsigned count, const os_addr *to);

/* Half-closes the sending side of a stream: the peer reads the end after all sent bytes. Later sends fail with
 * ESHUTDOWN; pending receives are not touched. Only while no port_send is pending. */
int port_shutdown_send(port_handle *h);

/* Reads len bytes of a file from an offset on; writes them. Explicit offsets, any number in flight, no order promised:
 * not even a read behind a write sees it before the write's packet has come. A read ends short only at the end of the
 * file, and one that begins there or behind it is a success with 0 bytes. A write writes all or reports an error, after
 * which the packet's bytes count what was written.
 *
 * Windows and io_uring do the work themselves. Elsewhere the kernel only offers calls that wait for the disk, so a few
 * threads of the port make them: what waits in line for one ends at once when cancelled, what has begun after its next
 * megabyte. port_close ends all ops on files, waits until none has its buffer any more, and drops their packets with
 * the others; on Windows those of a handle that is still open end with that handle.
 * shape    1 <= len <= UINT32_MAX, offset + len <= INT64_MAX
 * errors   by the call: EINVAL, ECLOSED, ENOBUFS; by packet or call: EACCES (not opened for that), ENOSPC, ELIMIT (too
 *          big a file), EIO, ECANCELED */
int port_read(port_handle *h, port_op *op, void *data, size_t len, uint64_t offset);
int port_write(port_handle *h, port_op *op, const void *data, size_t len, uint64_t offset);

/* One packet when all that was written to the file, by ops whose packets had come, is on the disk.
 * errors   as of port_write */
int port_sync(port_handle *h, port_op *op);

/* Asks a pending op to end early. Exactly one packet comes in any case: ECANCELED, or what had happened already. Data
 * that a cancelled receive did not deliver stays readable.
 * errors   ENOTFOUND (not pending: its packet is queued or taken, or it was cancelled before) */
int port_cancel(port_op *op);

/* port_cancel for every pending op of the handle.
 * result   how many there were */
int port_cancel_all(port_handle *h);

/* ---- timers ---- */

/* One packet {key, op} when os_clock_now() has reached due_ns, never before. port_cancel ends it early (ECANCELED).
 * errors   ENOMEM, ECLOSED */
int port_timer(port *p, port_op *op, void *key, int64_t due_ns);

#endif
