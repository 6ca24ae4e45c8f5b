/* streams.c - clients connect to a listener, and both ends of each connection send what only they send, in pieces and
 * ways that the seed chooses, while they receive. An end that has sent all half-closes; one that has also received the
 * end closes. In runs that are not calm, ends also close early, abort, and cancel what they started. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum {
  STREAMS_CLIENTS = 6,
  STREAMS_ENDS = 2 * STREAMS_CLIENTS,
  STREAM_SEND_MAX = 6000,  /* bytes in one operation */
  STREAM_TOTAL_MAX = 20000, /* bytes that an end sends */
  STREAM_TOTAL_CHOSEN = 6000, /* the same in a fuzzer's run */
  STREAM_SENDS = 2, /* pending at a time */
  STREAM_RECVS = 3,
  STREAM_RECV_MAX = 3000,
};

typedef struct end {
  streams     *s;
  port_handle *h;        /* NULL: closed */
  bool         server;   /* accepted, did not connect */
  unsigned     who;      /* in the trace */
  uint16_t     port;     /* the client's number, which names the connection */
  uint64_t     to_send;  /* ends with a half-close */
  uint64_t     offered;   /* what was sent or is being sent */
  uint64_t     sent, got; /* what the kernel took, what came */
  bool         open;     /* connected */
  bool         shut;     /* has half-closed */
  bool         ended;    /* has received the end */
  bool         broken;   /* an error came, or it closed early: all bets on numbers are off */
  bool         waits;    /* prefers port_recv_ready */
  bool         patient;  /* half-closes when it has all from the other: then nothing else tells it of the last bytes */
  watched      connect, ready;
  watched      recvs[STREAM_RECVS], sends[STREAM_SENDS];
  size_t       send_lens[STREAM_SENDS];
  unsigned     last_start; /* numbers what follows */
  unsigned     recv_starts[STREAM_RECVS], send_starts[STREAM_SENDS];
  unsigned char out[STREAM_SENDS][STREAM_SEND_MAX], in[STREAM_RECVS][STREAM_RECV_MAX];
} end;

struct streams {
  run         *r;
  port_handle *listener; /* NULL: not made, or closed */
  os_addr      at;
  watched      accept;
  unsigned     clients_left;
  end         *ends[STREAMS_ENDS];
  unsigned     count, live;
  unsigned     disturbances; /* that are left: each starts something anew, and so could make good for what was lost */
};

/* Byte number `at` of what one side of a connection sends. */
static unsigned char stream_byte(uint16_t number, bool server, uint64_t at) {
  return (unsigned char)((at * 131 + at / 251 + number * 17u + server * 89u) & 255);
}

static void end_go(end *e);

static end *end_new(streams *s, bool server) {
  run *r = s->r;
  end *e = calloc(1, sizeof *e);
  EXPECT(r, e != NULL && s->count < STREAMS_ENDS);
  e->who = s->count + 1;
  e->s = s;
  e->server = server;
  e->to_send = run_chance(r, 20) ? 0 : run_random(r, r->chosen ? STREAM_TOTAL_CHOSEN : STREAM_TOTAL_MAX);
  e->waits = run_chance(r, 50);
  e->patient = r->calm && run_chance(r, 70);
  s->ends[s->count++] = e;
  s->live++;
  r->busy++;
  return e;
}

static void end_close(end *e, bool abort) {
  run_note(e->s->r, abort ? "abort" : "close", e->who, 0);
  if (e->h != NULL) (abort ? port_handle_abort : port_handle_close)(e->h);
  e->h = NULL;
  e->s->live--;
  e->s->r->busy--;
}

/* The connection or this end of it failed. */
static void end_fail(end *e, int err) {
  run *r = e->s->r;
  EXPECT(r, err == PORTICO_ECONNRESET || err == PORTICO_EPIPE || err == PORTICO_ENOTCONN || err == PORTICO_ENOBUFS);
  EXPECT(r, !r->calm);
  e->broken = true;
  if (e->h != NULL) end_close(e, run_chance(r, 30));
}

/* True if none of the pending operations was started before the one with that number: they end in order. */
static bool end_in_order(const watched *ops, const unsigned *starts, unsigned count, unsigned number) {
  for (unsigned i = 0; i < count; i++) {
    if (ops[i].pending && !ops[i].cancelled && starts[i] < number) return false;
  }
  return true;
}

/* Workers overtake each other between the port and the workload: there, one at a time keeps the order. */
static unsigned end_most(const end *e, unsigned most) {
  return e->s->r->workers > 0 ? 1 : most;
}

static unsigned end_pending(const watched *ops, unsigned count) {
  unsigned pending = 0;
  for (unsigned i = 0; i < count; i++) pending += ops[i].pending;
  return pending;
}

/* ---- receiving ---- */

static void end_got(end *e, const unsigned char *data, size_t len) {
  for (size_t i = 0; i < len; i++) EXPECT(e->s->r, data[i] == stream_byte(e->port, !e->server, e->got + i));
  e->got += len;
}

static void end_on_recv(run *r, watched *w, const port_packet *packet) {
  end     *e = packet->key;
  unsigned index = (unsigned)(w - e->recvs);
  if (packet->err == PORTICO_ECANCELED) {
    EXPECT(r, packet->bytes == 0 && (w->cancelled || e->h == NULL));
  } else if (packet->err < 0) {
    end_fail(e, packet->err);
  } else if (packet->bytes == 0) {
    e->ended = true;
  } else {
    EXPECT(r, !e->ended && packet->bytes <= STREAM_RECV_MAX);
    EXPECT(r, end_in_order(e->recvs, e->recv_starts, STREAM_RECVS, e->recv_starts[index]));
    end_got(e, e->in[index], packet->bytes);
  }
  end_go(e);
}

static void end_take(end *e) {
  static unsigned char scratch[STREAM_RECV_MAX];
  run        *r = e->s->r;
  const void *data;
  int64_t     n = port_take(e->h, &e->ready.op, scratch, 1 + run_random(r, sizeof scratch), &data);
  run_note(r, "take", e->who, n);
  if (n == PORTICO_EAGAIN) return;
  if (n < 0) end_fail(e, (int)n);
  else if (n == 0) e->ended = true;
  else end_got(e, data, (size_t)n);
}

static void end_on_ready(run *r, watched *w, const port_packet *packet) {
  end *e = packet->key;
  if (packet->err == PORTICO_ECANCELED) EXPECT(r, w->cancelled || e->h == NULL);
  else if (packet->err < 0) end_fail(e, packet->err);
  else if (e->h != NULL) end_take(e);
  end_go(e);
}

static bool end_receives(const end *e) {
  return end_pending(e->recvs, STREAM_RECVS) > 0 || e->ready.pending;
}

static void end_start_recv(end *e, unsigned index) {
  run     *r = e->s->r;
  size_t   len = 1 + run_random(r, STREAM_RECV_MAX), cut = run_random(r, len);
  unsigned char *in = e->in[index];
  e->recv_starts[index] = ++e->last_start;
  run_starting(&e->recvs[index], "recv", e->who, e, end_on_recv);
  port_buf bufs[2] = {{in, cut}, {in + cut, len - cut}};
  int      err = cut == 0 ? port_recv(e->h, &e->recvs[index].op, &bufs[1], 1)
                          : port_recv(e->h, &e->recvs[index].op, bufs, 2);
  if (!run_started(r, &e->recvs[index], err)) end_fail(e, err);
}

/* One wait, or one to three receives at a time; in turns, as port.h wants it. */
static void end_start_receiving(end *e) {
  run *r = e->s->r;
  if (run_chance(r, 10)) e->waits = !e->waits;
  if (e->waits) {
    run_starting(&e->ready, "recv ready", e->who, e, end_on_ready);
    int err = port_recv_ready(e->h, &e->ready.op);
    if (!run_started(r, &e->ready, err)) end_fail(e, err);
    return;
  }
  uint64_t count = 1 + run_random(r, end_most(e, STREAM_RECVS));
  for (unsigned i = 0; i < count && e->h != NULL; i++) end_start_recv(e, i);
}

/* ---- sending ---- */

static void end_on_send(run *r, watched *w, const port_packet *packet) {
  end     *e = packet->key;
  unsigned index = (unsigned)(w - e->sends);
  EXPECT(r, packet->bytes <= e->send_lens[index]);
  e->sent += packet->bytes;
  if (packet->err == 0) {
    EXPECT(r, packet->bytes == e->send_lens[index]);
    EXPECT(r, end_in_order(e->sends, e->send_starts, STREAM_SENDS, e->send_starts[index]));
  } else if (packet->err == PORTICO_ECANCELED) {
    EXPECT(r, w->cancelled || e->h == NULL);
    e->offered = e->sent; /* the rest is sent anew; nothing was behind it */
  } else {
    end_fail(e, packet->err);
  }
  end_go(e);
}

/* Offers the pieces for now. result: false = they need an operation */
static bool end_try_send(end *e, const port_buf *bufs, unsigned count, size_t len) {
  run    *r = e->s->r;
  int64_t n = (run_chance(r, 50) ? port_try_send : port_send_soon)(e->h, bufs, count);
  run_note(r, "try send", e->who, n);
  EXPECT(r, n <= (int64_t)len);
  if (n == PORTICO_EAGAIN) return false;
  if (n < 0) end_fail(e, (int)n);
  else e->sent = e->offered += (uint64_t)n;
  return true;
}

static void end_start_send(end *e, unsigned index) {
  run           *r = e->s->r;
  uint64_t       left = e->to_send - e->offered;
  size_t         len = (size_t)(1 + run_random(r, left < STREAM_SEND_MAX ? left : STREAM_SEND_MAX));
  size_t         cut = (size_t)run_random(r, len);
  unsigned char *out = e->out[index];
  port_buf       bufs[2] = {{out, cut}, {out + cut, len - cut}};
  for (size_t i = 0; i < len; i++) out[i] = stream_byte(e->port, e->server, e->offered + i);
  bool alone = end_pending(e->sends, STREAM_SENDS) == 0;
  if (alone && run_chance(r, 40) && end_try_send(e, bufs, 2, len)) return;
  e->send_lens[index] = len;
  e->send_starts[index] = ++e->last_start;
  e->offered += len;
  run_starting(&e->sends[index], "send", e->who, e, end_on_send);
  int err = port_send(e->h, &e->sends[index].op, bufs, 2);
  if (!run_started(r, &e->sends[index], err)) end_fail(e, err);
}

/* Starts what there is room for; behind a send that was cancelled nothing, for it may leave a gap. */
static void end_start_sending(end *e) {
  for (unsigned i = 0; i < end_most(e, STREAM_SENDS); i++) {
    while (e->h != NULL && !e->sends[i].pending && e->offered < e->to_send) {
      for (unsigned k = 0; k < STREAM_SENDS; k++) {
        if (e->sends[k].pending && e->sends[k].cancelled) return;
      }
      end_start_send(e, i);
    }
  }
}

/* ---- an end goes on ---- */

static end *streams_other(const streams *s, const end *e) {
  for (unsigned i = 0; i < s->count; i++) {
    if (s->ends[i]->server != e->server && s->ends[i]->port == e->port) return s->ends[i];
  }
  return NULL;
}

/* True if it has sent all and need not wait for the other. */
static bool end_has_said_all(const end *e) {
  if (e->shut || e->sent < e->to_send || end_pending(e->sends, STREAM_SENDS) > 0) return false;
  const end *other = streams_other(e->s, e);
  return !e->patient || (other != NULL && e->got == other->to_send);
}

static void end_cancel(end *e, watched *w) {
  if (w->pending) e->s->disturbances--;
  run_cancel(e->s->r, w);
}

/* Something that a caller may do at any time. */
static void end_disturb(end *e) {
  run *r = e->s->r;
  if (e->s->disturbances == 0 || !run_chance(r, 10)) return;
  switch (run_random(r, 4)) {
  case 0: end_cancel(e, &e->recvs[run_random(r, STREAM_RECVS)]); break;
  case 1: end_cancel(e, &e->ready); break;
  case 2: /* what is behind it would be sent with a gap */
    if (end_pending(e->sends, STREAM_SENDS) > 1) break;
    end_cancel(e, &e->sends[e->sends[0].pending ? 0 : 1]);
    break;
  case 3:
    if (r->calm) break;
    e->s->disturbances--;
    e->broken = true;
    end_close(e, run_chance(r, 50));
    break;
  }
}

static void end_go(end *e) {
  run *r = e->s->r;
  if (e->h != NULL && e->open) end_disturb(e);
  if (e->h != NULL && e->open) end_start_sending(e);
  if (e->h == NULL || !e->open) return;
  if (end_has_said_all(e)) {
    int err = port_shutdown_send(e->h);
    run_note(r, "shut down", e->who, err);
    if (err == 0) e->shut = true;
    else end_fail(e, err);
  }
  if (e->h != NULL && !e->ended && !end_receives(e)) end_start_receiving(e);
  if (e->h != NULL && e->ended && e->shut && !end_receives(e)) end_close(e, false);
}

/* ---- connecting ---- */

static void end_on_connect(run *r, watched *w, const port_packet *packet) {
  end *e = packet->key;
  if (packet->err == PORTICO_ECANCELED) {
    EXPECT(r, w->cancelled || e->h == NULL);
  } else if (packet->err < 0) {
    EXPECT(r, !r->calm);
  }
  if (packet->err < 0) {
    e->broken = true;
    if (e->h != NULL) end_close(e, false);
    return;
  }
  if (e->h == NULL) return;
  e->open = true;
  end_go(e);
}

static void streams_connect(streams *s) {
  run      *r = s->r;
  os_socket socket;
  os_addr   own;
  int       err = os_socket_open(OS_TCP, &s->at, &socket);
  s->clients_left--;
  if (err < 0) {
    EXPECT(r, !r->calm);
    return;
  }
  end *e = end_new(s, false);
  if ((err = port_adopt(r->p, socket, PORT_STREAM, e, &e->h)) < 0) {
    EXPECT(r, !r->calm);
    os_socket_close(socket);
    end_close(e, false);
    return;
  }
  run_starting(&e->connect, "connect", e->who, e, end_on_connect);
  err = port_connect(e->h, &e->connect.op, &s->at);
  if (!run_started(r, &e->connect, err)) {
    end_close(e, false);
    return;
  }
  EXPECT(r, os_socket_local(port_handle_socket(e->h), &own) == 0);
  e->port = os_addr_port(&own);
}

static void streams_accept(streams *s);

static void streams_on_accept(run *r, watched *w, const port_packet *packet) {
  streams *s = packet->key;
  os_addr  peer;
  if (packet->err == 0) {
    os_socket socket = port_accepted(&w->op, &peer);
    EXPECT(r, socket != OS_SOCKET_NONE && port_accepted(&w->op, NULL) == OS_SOCKET_NONE);
    end *e = end_new(s, true);
    e->port = os_addr_port(&peer);
    e->open = true;
    int err = port_adopt(r->p, socket, PORT_STREAM, e, &e->h);
    if (err < 0) {
      EXPECT(r, !r->calm);
      e->broken = true;
      os_socket_close(socket);
      end_close(e, false);
    }
    end_go(e);
    end *other = streams_other(s, e);
    if (other != NULL) end_go(other); /* it may be patient, and learn only now for how many bytes */
  } else if (packet->err == PORTICO_ECANCELED) {
    EXPECT(r, w->cancelled || s->listener == NULL);
  } else {
    EXPECT(r, !r->calm && (packet->err == PORTICO_EMFILE || packet->err == PORTICO_ENOBUFS ||
                           packet->err == PORTICO_ENOMEM));
  }
  if (s->listener != NULL) streams_accept(s);
}

static void streams_accept(streams *s) {
  run_starting(&s->accept, "accept", 0, s, streams_on_accept);
  int err = port_accept(s->listener, &s->accept.op);
  if (!run_started(s->r, &s->accept, err)) EXPECT(s->r, false);
}

/* ---- all of them ---- */

static port_handle *streams_listen(streams *s) {
  os_addr      any;
  os_socket    socket;
  port_handle *h = NULL;
  os_addr_parse("127.0.0.1", 0, &any);
  if (os_socket_open(OS_TCP, &any, &socket) < 0) return NULL;
  EXPECT(s->r, os_socket_bind(socket, &any) == 0 && os_socket_local(socket, &s->at) == 0);
  int backlog = s->r->calm ? STREAMS_CLIENTS : 1 + (int)run_random(s->r, 3); /* a full one may time a client out */
  EXPECT(s->r, os_socket_listen(socket, backlog) == 0);
  if (port_adopt(s->r->p, socket, PORT_LISTENER, s, &h) < 0) os_socket_close(socket);
  return h;
}

streams *streams_open(run *r) {
  streams *s = calloc(1, sizeof *s);
  EXPECT(r, s != NULL);
  s->r = r;
  s->listener = streams_listen(s);
  if (s->listener == NULL) {
    EXPECT(r, !r->calm);
    return s;
  }
  s->clients_left = 1 + (unsigned)run_random(r, STREAMS_CLIENTS);
  s->disturbances = run_chance(r, 40) ? 0 : (unsigned)run_random(r, 30);
  r->busy++;
  streams_accept(s);
  return s;
}

void streams_step(streams *s) {
  run *r = s->r;
  if (s->listener == NULL) return;
  if (s->clients_left > 0) {
    if (run_chance(r, 30)) streams_connect(s);
  } else if (s->live == 0) {
    port_handle_close(s->listener);
    s->listener = NULL;
    r->busy--;
  } else if (s->disturbances > 0 && run_chance(r, 3)) {
    s->disturbances--;
    run_cancel(r, &s->accept); /* a new one is started at once */
  }
  if (s->count == 0) return;
  end *e = s->ends[run_random(r, s->count)];
  if (e->h != NULL && e->open) end_disturb(e); /* from outside of its callbacks */
}

/* Who has seen the end has seen all that the other end sent; in a calm run everybody has, and all was sent. */
static void streams_check(streams *s, const end *e) {
  run       *r = s->r;
  const end *other = streams_other(s, e);
  if (r->calm) EXPECT(r, other != NULL && e->ended && !e->broken && e->sent == e->to_send);
  if (other != NULL && e->ended && !e->broken) EXPECT(r, e->got == other->sent);
  if (other != NULL) EXPECT(r, e->got <= other->sent);
}

void streams_close(streams *s) {
  for (unsigned i = 0; i < s->count; i++) streams_check(s, s->ends[i]);
  for (unsigned i = 0; i < s->count; i++) free(s->ends[i]);
  free(s);
}
