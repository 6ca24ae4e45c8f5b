/* stream.c - the state machine of a connection. */
#include "net/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"
#include "os/clock.h"

enum {
  STREAM_GATHER_BYTES = SIZED(256 * 1024, 61), /* of one send: small enough to see progress */
  STREAM_ROOM_MIN = SIZED(16 * 1024, 3), /* with less room left what has arrived is delivered before the next receive */
  STREAM_DIRECT_BYTES = 8 * 1024,   /* from here on a copy costs more than a system call of its own */
};
static const int64_t stream_linger_ns = OS_NS_PER_S; /* for the peer to read what was sent before the close */

/* Where stream_connect may still go. */
typedef struct stream_targets {
  void (*set)(os_socket socket, void *arg);
  void    *arg;
  unsigned count, next;
  os_addr  to[];
} stream_targets;

typedef enum task_kind {
  TASK_CONNECT,
  TASK_SEND,
  TASK_LINGER, /* waits for the peer's end after a close */
} task_kind;

/* What a stream does beside receiving, one at a time. Given back by its packet. */
struct stream_task {
  completion c; /* first */
  stream    *stream;
  task_kind  kind;
  union {
    size_t          bytes;   /* TASK_SEND: of out, given to the port */
    stream_targets *targets; /* TASK_CONNECT: the addresses, freed with the task */
    stream_task    *next;    /* among the spare ones */
  };
};

enum { TURN_SPARE_TASKS = SIZED(64, 1) };

static void stream_on_readable(completion *c);
static void stream_on_sent(completion *c);
static void stream_on_connected(completion *c);
static void stream_connect_next(stream *s, int err);

/* ---- tasks ---- */

/* NULL if there is no memory. */
static stream_task *stream_begin_task(stream *s, task_kind kind, void (*run)(completion *c)) {
  turn        *t = s->group->turn;
  stream_task *task = t->spare_tasks;
  if (task != NULL) {
    t->spare_tasks = task->next;
    t->spare_count--;
  } else {
    task = calloc(1, sizeof *task);
    if (task == NULL) return NULL;
  }
  CHECK(s->task == NULL);
  task->c.run = run;
  task->stream = s;
  task->kind = kind;
  s->task = task;
  return task;
}

/* Its packet has come, or none will. */
static void stream_end_task(stream *s) {
  turn        *t = s->group->turn;
  stream_task *task = s->task;
  s->task = NULL;
  if (task->kind == TASK_CONNECT) free(task->targets);
  if (t->spare_count == TURN_SPARE_TASKS) {
    free(task);
    return;
  }
  task->next = t->spare_tasks;
  t->spare_tasks = task;
  t->spare_count++;
}

void turn_fini(turn *t) {
  while (t->spare_tasks != NULL) {
    stream_task *task = t->spare_tasks;
    t->spare_tasks = task->next;
    free(task);
  }
  chunk_pool_fini(&t->pool);
}

/* ---- life ---- */

void stream_init(stream *s, const stream_group *group) {
  *s = (stream){.group = group, .state = STREAM_CONNECTING};
}

/* ---- the turn ---- */

static void stream_touch(stream *s) {
  if (s->dirty) return;
  s->dirty = true;
  s->next_dirty = NULL;
  if (s->group->turn->dirty != NULL) s->group->turn->dirty_last->next_dirty = s;
  else s->group->turn->dirty = s;
  s->group->turn->dirty_last = s;
}

static void stream_shut(stream *s, bool abort) {
  s->state = STREAM_CLOSED;
  if (s->handle != NULL) (abort ? port_handle_abort : port_handle_close)(s->handle);
  s->handle = NULL;
  if (s->task != NULL && s->task->kind == TASK_LINGER) port_cancel(&s->task->c.op);
  stream_touch(s);
}

/* What went wrong below ends the stream. */
static void stream_break(stream *s, int err) {
  if (s->state == STREAM_CLOSED) return; /* the first reason counts */
  s->err = err;
  stream_shut(s, true);
}

static void stream_on_linger(completion *c) {
  stream *s = ((stream_task *)c)->stream;
  stream_end_task(s);
  if (s->state != STREAM_CLOSED) stream_shut(s, false);
  stream_touch(s);
}

/* Everything is sent, the peer may still read it: closing right away could turn unread input into a reset. */
static void stream_start_linger(stream *s) {
  turn        *t = s->group->turn;
  stream_task *task = stream_begin_task(s, TASK_LINGER, stream_on_linger);
  int          err = PORTICO_ENOMEM;
  if (task != NULL) err = port_timer(t->port, &task->c.op, t->key, os_clock_now() + stream_linger_ns);
  if (err == 0) return;
  if (task != NULL) stream_end_task(s);
  stream_shut(s, false);
}

static bool stream_connected(const stream *s) {
  return s->state == STREAM_OPEN || s->state == STREAM_CLOSING;
}

/* Hands what the kernel does not take now to the port. */
static int stream_start_send(stream *s, const port_buf *bufs, unsigned count, size_t bytes) {
  stream_task *task = stream_begin_task(s, TASK_SEND, stream_on_sent);
  if (task == NULL) return PORTICO_ENOMEM;
  task->bytes = bytes;
  int err = port_send(s->handle, &task->c.op, bufs, count);
  if (err < 0) stream_end_task(s);
  return err;
}

/* Hands what waits to the port, if it may be sent now: at once what the kernel takes, the rest as an operation. */
static void stream_flush(stream *s) {
  if (s->out.bytes == 0 || s->task != NULL || !stream_connected(s)) return;
  port_buf bufs[PORT_BUFS_MAX];
  size_t   bytes;
  unsigned count = chunks_gather(&s->out, bufs, PORT_BUFS_MAX, STREAM_GATHER_BYTES, &bytes);
  int64_t  sent = port_send_soon(s->handle, bufs, count);
  if (sent > 0) {
    chunks_drop(&s->out, &s->group->turn->pool, (size_t)sent);
    if (s->out.bytes == 0) return;
    count = chunks_gather(&s->out, bufs, PORT_BUFS_MAX, STREAM_GATHER_BYTES, &bytes);
  }
  int err = sent < 0 && sent != PORTICO_EAGAIN ? (int)sent : stream_start_send(s, bufs, count, bytes);
  if (err < 0) stream_break(s, err);
}

/* All went out within the turn although the mark was passed: tell so by a packet of its own, so that a script that
 * answers on_drain with more cannot keep the strand for itself. */
static void stream_announce_drained(stream *s) {
  stream_task *task = stream_begin_task(s, TASK_SEND, stream_on_sent);
  if (task != NULL) {
    task->bytes = 0;
    int err = port_post_op(s->group->turn->port, s->group->turn->key, &task->c.op);
    CHECK(err == 0); /* the port is open as long as there are streams */
    return;
  }
  s->choked = false;
  if (s->group->on->on_drain != NULL) s->group->on->on_drain(s);
}

/* Nothing waits to be sent: what was to come after it comes now. */
static void stream_settle_sent(stream *s) {
  if (s->fin_wanted && !s->fin_sent) {
    s->fin_sent = true;
    int err = port_shutdown_send(s->handle);
    if (err < 0) stream_break(s, err);
  }
  if (s->state == STREAM_CLOSED) return;
  if (s->ended && s->fin_sent) stream_shut(s, false);
  else if (s->state == STREAM_CLOSING) stream_start_linger(s);
  else if (s->choked) stream_announce_drained(s);
}

static void stream_start_recv(stream *s) {
  s->recv.run = stream_on_readable;
  int err = port_recv_ready(s->handle, (port_op *)&s->recv.op);
  if (err < 0) stream_break(s, err);
  else s->receiving = true;
}

/* Receives on, unless there is a reason not to. While it is closing what comes is dropped, but taken: the peer may have
 * to get rid of it before it reads what is still queued here, and its end is to be seen. */
static void stream_resume_recv(stream *s) {
  if (s->receiving || s->ended || !stream_connected(s)) return;
  bool paused = s->state == STREAM_OPEN && s->choked && s->group->recv_pause;
  if (!paused) stream_start_recv(s);
}

/* Does what the turn asked for. */
static void stream_settle(stream *s) {
  stream_resume_recv(s); /* first: Wine tells of a reset, the answer to what we send, only to a receive that waits */
  stream_flush(s);
  if (s->state == STREAM_OPEN && !s->fin_wanted && !s->choked) return; /* nearly always */
  if (stream_connected(s) && s->task == NULL && s->out.bytes == 0) stream_settle_sent(s);
  stream_resume_recv(s); /* again: it may have begun to linger */
  if (s->state != STREAM_CLOSED || s->receiving || s->task != NULL || s->dirty) return;
  chunks_drop(&s->out, &s->group->turn->pool, s->out.bytes);
  s->group->on->on_close(s, s->err);
}

void turn_deliver(turn *t) {
  while (t->delivered < t->arrived) {
    const arrival *a = &t->arrivals[t->delivered++];
    if (a->stream->state == STREAM_OPEN) a->stream->group->on->on_data(a->stream, a->data, a->len);
  }
}

/* Makes room for the next arrival. */
static void turn_empty(turn *t) {
  if (t->arrived == 0) return;
  if (t->deliver != NULL) t->deliver(t);
  else turn_deliver(t);
  CHECK(t->delivered == t->arrived);
  t->arrived = t->delivered = 0;
  t->received_bytes = 0;
}

void turn_end(turn *t) {
  turn_empty(t);
  while (t->dirty != NULL) {
    stream *s = t->dirty;
    t->dirty = s->next_dirty;
    s->dirty = false;
    stream_settle(s);
  }
}

void turn_flush(turn *t) {
  for (stream *s = t->dirty; s != NULL; s = s->next_dirty) stream_flush(s);
  port_flush(t->port);
}

/* ---- packets ---- */

/* Receives behind what has arrived in this turn. result: as port_take */
static int64_t stream_receive(stream *s) {
  turn  *t = s->group->turn;
  size_t room = sizeof t->received - t->received_bytes;
  if (t->arrived == TURN_ARRIVALS || room < STREAM_ROOM_MIN) {
    turn_empty(t);
    if (s->state == STREAM_CLOSED) return PORTICO_EAGAIN; /* by somebody's handler */
    room = sizeof t->received;
  }
  if (room > s->group->recv_max) room = s->group->recv_max;
  const void *data;
  int64_t     n = port_take(s->handle, (port_op *)&s->recv.op, t->received + t->received_bytes, room, &data);
  if (n <= 0 || s->state != STREAM_OPEN || s->group->on->on_data == NULL) return n;
  t->arrivals[t->arrived++] = (arrival){.stream = s, .data = data, .len = (size_t)n};
  if (data == t->received + t->received_bytes) t->received_bytes += (size_t)n; /* not the backend's own memory */
  return n;
}

static void stream_on_readable(completion *c) {
  stream *s = container_of((waiting *)c, stream, recv);
  s->receiving = false;
  stream_touch(s);
  if (s->state == STREAM_CLOSED) return;
  int64_t n = c->err < 0 ? c->err : stream_receive(s);
  if (n > 0 || n == PORTICO_EAGAIN) return;
  if (n < 0) {
    stream_break(s, (int)n);
    return;
  }
  s->ended = true;
  if (s->state == STREAM_OPEN && s->group->on->on_end != NULL) s->group->on->on_end(s);
}

static void stream_on_sent(completion *c) {
  stream_task *task = (stream_task *)c;
  stream      *s = task->stream;
  size_t       bytes = task->bytes;
  int          err = c->err;
  stream_end_task(s);
  stream_touch(s);
  if (s->state == STREAM_CLOSED) return;
  if (err < 0) {
    stream_break(s, err);
    return;
  }
  chunks_drop(&s->out, &s->group->turn->pool, bytes);
  if (!s->choked || s->out.bytes > s->group->send_high / 2) return;
  s->choked = false;
  if (s->state == STREAM_OPEN && s->group->on->on_drain != NULL) s->group->on->on_drain(s);
}

/* ---- opening ---- */

static int stream_attach(stream *s, os_socket socket) {
  int err = port_adopt(s->group->turn->port, socket, PORT_STREAM, s->group->turn->key, &s->handle);
  if (err < 0) os_socket_close(socket);
  return err;
}

int stream_open(stream *s, os_socket socket) {
  int err = stream_attach(s, socket);
  if (err < 0) return err;
  s->state = STREAM_OPEN;
  stream_touch(s);
  return 0;
}

static int stream_start_connect(stream *s, const os_addr *to) {
  const stream_targets *t = s->task->targets;
  os_socket             socket;
  int                   err = os_socket_open(OS_TCP, to, &socket);
  if (err < 0) return err;
  t->set(socket, t->arg);
  err = stream_attach(s, socket);
  if (err < 0) return err;
  err = port_connect(s->handle, &s->task->c.op, to);
  if (err < 0) {
    port_handle_close(s->handle);
    s->handle = NULL;
  }
  return err;
}

/* Tries the addresses that are left; err is why the one before failed. */
static void stream_connect_next(stream *s, int err) {
  stream_targets *t = s->task->targets;
  while (t->next < t->count) {
    err = stream_start_connect(s, &t->to[t->next++]);
    if (err == 0) return;
  }
  stream_end_task(s);
  stream_break(s, err);
}

static void stream_on_connected(completion *c) {
  stream *s = ((stream_task *)c)->stream;
  stream_touch(s);
  if (c->err < 0 && s->state != STREAM_CLOSED) {
    port_handle_close(s->handle);
    s->handle = NULL;
    stream_connect_next(s, c->err);
    return;
  }
  stream_end_task(s);
  if (s->state == STREAM_CLOSED) return;
  s->state = STREAM_OPEN;
  if (s->group->on->on_open != NULL) s->group->on->on_open(s);
}

int stream_connect(stream *s, const os_addr *to, unsigned count, void (*set)(os_socket socket, void *arg), void *arg) {
  CHECK(count > 0);
  stream_targets *t = malloc(sizeof *t + count * sizeof *to);
  stream_task    *task = t != NULL ? stream_begin_task(s, TASK_CONNECT, stream_on_connected) : NULL;
  if (task == NULL) {
    free(t);
    return PORTICO_ENOMEM;
  }
  *t = (stream_targets){.set = set, .arg = arg, .count = count};
  memcpy(t->to, to, count * sizeof *to);
  task->targets = t;
  stream_connect_next(s, PORTICO_EINVAL);
  return 0;
}

void stream_fail(stream *s, int err) {
  CHECK(s->state == STREAM_CONNECTING);
  stream_break(s, err);
}

/* ---- what a handler may ask for ---- */

/* Offers queued bytes and data to the kernel in one call, without copying data first.
 * result   how much of data need not be queued any more; an error ended the stream */
static int64_t stream_send_direct(stream *s, const void *data, size_t len) {
  port_buf bufs[PORT_BUFS_MAX];
  size_t   queued;
  unsigned count = chunks_gather(&s->out, bufs, PORT_BUFS_MAX - 1, SIZE_MAX, &queued);
  if (queued != s->out.bytes) return 0;
  bufs[count] = (port_buf){.data = (void *)data, .len = len};
  int64_t sent = port_try_send(s->handle, bufs, count + 1);
  if (sent == PORTICO_EAGAIN) return 0;
  if (sent < 0) {
    stream_break(s, (int)sent);
    return sent;
  }
  size_t before = (size_t)sent < queued ? (size_t)sent : queued;
  chunks_drop(&s->out, &s->group->turn->pool, before);
  return sent - (int64_t)before;
}

int stream_send(stream *s, const void *data, size_t len) {
  if (s->state == STREAM_CLOSED || s->state == STREAM_CLOSING) return PORTICO_ECLOSED;
  if (s->fin_wanted) return PORTICO_ESHUTDOWN;
  if (len > s->group->send_limit || s->out.bytes > s->group->send_limit - len) {
    stream_break(s, PORTICO_ELIMIT);
    return PORTICO_ELIMIT;
  }
  stream_touch(s);
  if (s->state == STREAM_OPEN && s->task == NULL && len >= STREAM_DIRECT_BYTES) {
    int64_t sent = stream_send_direct(s, data, len);
    if (sent < 0) return 0; /* on_close tells why; to the sender it is as if the bytes were lost on the way */
    data = (const char *)data + sent;
    len -= (size_t)sent;
  }
  if (len > 0) {
    int err = chunks_append(&s->out, &s->group->turn->pool, data, len);
    if (err < 0) {
      stream_break(s, err); /* what is sent later must not close a gap that the peer cannot see */
      return err;
    }
  }
  if (s->out.bytes > s->group->send_high) s->choked = true;
  return s->choked ? PORTICO_EAGAIN : 0;
}

int stream_shutdown(stream *s) {
  if (s->state == STREAM_CLOSED || s->state == STREAM_CLOSING) return PORTICO_ECLOSED;
  if (s->fin_wanted) return PORTICO_ESHUTDOWN;
  s->fin_wanted = true;
  stream_touch(s);
  return 0;
}

int stream_close(stream *s) {
  if (s->state == STREAM_CLOSED || s->state == STREAM_CLOSING) return PORTICO_ECLOSED;
  if (s->state == STREAM_CONNECTING) {
    stream_shut(s, false);
    return 0;
  }
  s->state = STREAM_CLOSING;
  s->fin_wanted = true;
  stream_touch(s);
  return 0;
}

int stream_abort(stream *s, int err) {
  if (s->state == STREAM_CLOSED) return PORTICO_ECLOSED;
  s->err = err;
  stream_shut(s, true);
  return 0;
}
