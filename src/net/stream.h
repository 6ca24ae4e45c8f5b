/* stream.h - a connected byte stream: receive, send, half-close, close.   Layer: net (may include base, os, port).
 *
 * A stream lives on one strand: all calls and callbacks happen there, so it needs no lock. Calls only note what is
 * wanted, and completions only receive; turn_end, after the completions that the strand ran in one go, does the rest:
 * on_data for all that has arrived, then for each stream one gathered send, the half-close, the close, the next
 * receive. So a callback may do anything to its stream, closing it included; and the receives of a turn are in a row,
 * as are its handlers and its sends, which is how the kernel's code, the script's and ours stay in the caches.
 *
 *   CONNECTING -connected-> OPEN -stream_close-> CLOSING -all sent, peer's end or linger time-> CLOSED -last packet
 *   back-> on_close, the memory is the owner's again. stream_abort and errors go to CLOSED from anywhere. */
#ifndef PORTICO_NET_STREAM_H
#define PORTICO_NET_STREAM_H
#include "base/sized.h"
#include "net/chunks.h"
#include "net/completion.h"

typedef struct stream      stream;
typedef struct stream_task stream_task;

enum { STREAM_RECV_MAX = 64 * 1024 }; /* most bytes one on_data gets */

/* What happens on a stream; NULL members are not called. */
typedef struct stream_handlers {
  void (*on_open)(stream *s); /* after stream_connect: the connection is there */
  void (*on_data)(stream *s, const void *data, size_t len); /* in turn_deliver */
  void (*on_end)(stream *s);   /* the peer has finished sending; our side is still open */
  void (*on_drain)(stream *s); /* a send said "above the mark", and now less than half of it waits */
  void (*on_close)(stream *s, int err); /* the last call: 0 = orderly. The stream may be freed in it */
} stream_handlers;

/* What a stream has received and on_data is still to be told. */
typedef struct arrival {
  stream     *stream;
  const void *data;
  size_t      len;
} arrival;

enum { TURN_ARRIVALS = SIZED(32, 2), TURN_BYTES = SIZED(STREAM_RECV_MAX, 61) };

/* What the streams of one strand share. */
typedef struct turn turn;
struct turn {
  port *port;
  void *key; /* of all packets: the strand */
  void (*deliver)(turn *t); /* calls turn_deliver until none is left; NULL: it cannot be left early, so once will do */
  arrival       arrivals[TURN_ARRIVALS]; /* [delivered..arrived) wait */
  unsigned      arrived, delivered;
  size_t        received_bytes; /* until all have been delivered */
  unsigned char received[TURN_BYTES];
  chunk_pool    pool;
  stream_task  *spare_tasks; /* for reuse: few streams need one at the same time */
  unsigned      spare_count;
  stream       *dirty, *dirty_last; /* to be settled at the end of the turn */
};

/* What many streams of one strand have in common, so that none carries it; must outlive them. */
typedef struct stream_group {
  const stream_handlers *on;
  turn                  *turn;
  size_t recv_max;   /* most bytes per on_data, 1..STREAM_RECV_MAX */
  size_t send_high;  /* above it sends answer "later" */
  size_t send_limit; /* above it the stream is aborted with ELIMIT */
  bool   recv_pause; /* above send_high nothing is received: right for who answers what it receives. Two ends that
                        both do so can wait for each other for ever */
} stream_group;

/* Frees what is kept for reuse; no stream is left. A zeroed turn with port and key is ready for streams. */
void turn_fini(turn *t);

/* Calls on_data for the arrivals that are left, each once. on_data may leave by a jump (a Lua error): the rest is left
 * for the next call. */
void turn_deliver(turn *t);

/* Delivers what has arrived and settles every stream that was touched; callbacks may touch more. Call it after the
 * completions of a turn. */
void turn_end(turn *t);

/* Sends what the turn has queued so far, without a callback: before something that may take long. */
void turn_flush(turn *t);

typedef enum stream_state { STREAM_CONNECTING, STREAM_OPEN, STREAM_CLOSING, STREAM_CLOSED } stream_state;

struct stream {
  waiting             recv; /* first, and right before what each message touches, see strand_prefetch */
  const stream_group *group;
  port_handle        *handle; /* NULL when CLOSED, and between two attempts to connect */
  stream_task        *task;   /* an operation beside recv; NULL = none is started, as nearly always */
  stream             *next_dirty;
  chunks              out;
  stream_state        state;
  int                 err;       /* why it was closed */
  bool                dirty;     /* in the turn's list */
  bool                receiving; /* recv is started */
  bool                ended;      /* the peer has finished */
  bool                fin_wanted; /* half-close ours after what is queued */
  bool                fin_sent;
  bool                choked; /* above send_high, and not yet below half of it */
};

/* Makes a stream in memory of the caller's, in state CONNECTING. */
void stream_init(stream *s, const stream_group *group);

/* Takes over a connected socket and starts to receive at the end of the turn.
 * errors   ENOMEM, ENOBUFS, EINVAL: the socket is closed, the stream stays as it was (no on_close) */
int stream_open(stream *s, os_socket socket);

/* Connects to the first of count addresses that answers; set is called for each new socket (options). Then on_open, or
 * on_close with the last error.
 * errors   ENOMEM (no callback follows) */
int stream_connect(stream *s, const os_addr *to, unsigned count, void (*set)(os_socket socket, void *arg), void *arg);

/* Ends a stream that could not even begin to connect: on_close(err) follows at the end of the turn. */
void stream_fail(stream *s, int err);

/* Queues bytes (copied); they leave in call order, latest at the end of the turn. Allowed while connecting.
 * result   0; EAGAIN: queued too, but more than send_high waits (on_drain will come); ECLOSED, ESHUTDOWN: not
 *          queued; ELIMIT, ENOMEM: not queued, the stream is aborted */
int stream_send(stream *s, const void *data, size_t len);

/* Half-closes our side after what is queued. errors: ECLOSED, ESHUTDOWN (was done before) */
int stream_shutdown(stream *s);

/* Closes after what is queued was sent; what still comes is dropped. The peer gets a second to read it.
 * errors   ECLOSED (is closing already) */
int stream_close(stream *s);

/* Closes now: what is queued is dropped, the peer sees a reset, on_close gets err.
 * errors   ECLOSED */
int stream_abort(stream *s, int err);

#endif
