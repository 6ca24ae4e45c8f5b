/* nets.c - the same with the streams and the listener of src/net: what was sent arrives in order and complete through
 * queues, marks, drains, half-closes and lingering; each stream is closed once, and its memory is not touched again. */
#include <stdlib.h>

#include "net/listener.h"
#include "net/stream.h"
#include "run.h"

enum { NETS_CLIENTS = 6, NETS_ENDS = 2 * NETS_CLIENTS, NET_TOTAL_MAX = 40000, NET_PIECE_MAX = 4000 };
enum { NET_TOTAL_CHOSEN = 6000 }; /* of a fuzzer's run */

/* One end of a connection; outlives its stream, which is freed in on_close so that a late touch shows. */
typedef struct net_end {
  nets    *n;
  stream  *s; /* NULL once closed */
  unsigned who;
  bool     server;
  uint16_t port; /* the client's number, which names the connection */
  uint64_t to_send, offered, got;
  bool     open, choked, shut, ended, gone; /* gone: it aborted, closed early or failed */
} net_end;

struct nets {
  run          *r;
  turn          turn;
  stream_group  groups[2]; /* of clients, of servers */
  listener      listener;
  bool          listens, closing;
  unsigned      clients_left, live, count, disturbances;
  net_end      *ends[NETS_ENDS];
};

static unsigned char net_byte(uint16_t number, bool server, uint64_t at) {
  return (unsigned char)((at * 37 + at / 509 + number * 29u + server * 101u) & 255);
}

static nets *nets_of(const turn *t) {
  return t->key;
}

static net_end *net_end_of(const stream *s) {
  nets *n = nets_of(s->group->turn);
  for (unsigned i = 0; i < n->count; i++) {
    if (n->ends[i]->s == s) return n->ends[i];
  }
  run_fail(n->r, "a stream calls back that is closed", __FILE__, __LINE__);
}

/* ---- what an end does ---- */

static void net_end_send(net_end *e) {
  static unsigned char piece[NET_PIECE_MAX];
  run                 *r = e->n->r;
  uint64_t             left = e->to_send - e->offered;
  size_t               len = (size_t)(1 + run_random(r, left < NET_PIECE_MAX ? left : NET_PIECE_MAX));
  for (size_t i = 0; i < len; i++) piece[i] = net_byte(e->port, e->server, e->offered + i);
  int err = stream_send(e->s, piece, len);
  run_note(r, "stream send", e->who, err < 0 ? err : (int64_t)len);
  EXPECT(r, err == 0 || err == PORTICO_EAGAIN || e->gone ||
                ((err == PORTICO_ECLOSED || err == PORTICO_ELIMIT) && !r->calm));
  EXPECT(r, e->s->out.bytes <= e->s->group->send_limit);
  if (err == 0 || err == PORTICO_EAGAIN) e->offered += len;
  if (err == PORTICO_ELIMIT) e->gone = true;
  e->choked = err != 0; /* till the drain, or for good */
}

/* What comes after its end is refused. */
static void net_end_late(net_end *e) {
  if (!e->shut || !run_chance(e->n->r, 5)) return;
  int sent = stream_send(e->s, "late", 4), shut = stream_shutdown(e->s);
  EXPECT(e->n->r, sent == shut && (sent == PORTICO_ESHUTDOWN || sent == PORTICO_ECLOSED));
}

static void net_end_go(net_end *e) {
  run *r = e->n->r;
  while (e->s != NULL && e->open && !e->gone && !e->choked && e->offered < e->to_send) {
    net_end_send(e);
    if (run_chance(r, 30)) return; /* the rest when something else happens */
  }
  if (e->s == NULL || !e->open || e->gone || e->choked || e->offered < e->to_send) return;
  if (!e->shut) {
    e->shut = true;
    int err = stream_shutdown(e->s);
    run_note(r, "stream shut down", e->who, err);
    EXPECT(r, err == 0 || !r->calm);
  }
  net_end_late(e);
  if (e->ended) {
    e->gone = true;
    int err = stream_close(e->s);
    EXPECT(r, err == 0 || err == PORTICO_ECLOSED);
  }
}

static const net_end *nets_other(const nets *n, const net_end *e) {
  for (unsigned i = 0; i < n->count; i++) {
    if (n->ends[i]->server != e->server && n->ends[i]->port == e->port) return n->ends[i];
  }
  return NULL;
}

/* Something that a handler may do at any time. */
static void net_end_disturb(net_end *e) {
  run *r = e->n->r;
  if (r->calm || e->n->disturbances == 0 || e->s == NULL || !run_chance(r, 5)) return;
  e->n->disturbances--;
  e->gone = true;
  int err = run_chance(r, 50) ? stream_close(e->s) : stream_abort(e->s, PORTICO_ECANCELED);
  EXPECT(r, err == 0 || err == PORTICO_ECLOSED);
}

static void net_on_open(stream *s) {
  net_end *e = net_end_of(s);
  os_addr  own;
  EXPECT(e->n->r, !e->open && os_socket_local(port_handle_socket(s->handle), &own) == 0);
  e->port = os_addr_port(&own);
  e->open = true;
  net_end_go(e);
}

static void net_on_data(stream *s, const void *data, size_t len) {
  net_end             *e = net_end_of(s);
  const unsigned char *bytes = data;
  run_note(e->n->r, "stream data", e->who, (int64_t)len);
  EXPECT(e->n->r, e->open && !e->ended && len > 0 && len <= s->group->recv_max);
  for (size_t i = 0; i < len; i++) EXPECT(e->n->r, bytes[i] == net_byte(e->port, !e->server, e->got + i));
  e->got += len;
  net_end_disturb(e);
  net_end_go(e);
}

static void net_on_end(stream *s) {
  net_end *e = net_end_of(s);
  EXPECT(e->n->r, !e->ended);
  e->ended = true;
  net_end_disturb(e);
  net_end_go(e);
}

static void net_on_drain(stream *s) {
  net_end *e = net_end_of(s);
  EXPECT(e->n->r, e->choked);
  e->choked = false;
  net_end_go(e);
}

static void net_on_close(stream *s, int err) {
  net_end *e = net_end_of(s);
  run_note(e->n->r, "stream closed", e->who, err);
  if (e->n->r->calm) EXPECT(e->n->r, err == 0);
  if (err < 0) e->gone = true;
  e->s = NULL;
  e->n->live--;
  free(s);
}

static const stream_handlers net_handlers = {.on_open = net_on_open,
                                             .on_data = net_on_data,
                                             .on_end = net_on_end,
                                             .on_drain = net_on_drain,
                                             .on_close = net_on_close};

/* ---- making ends ---- */

static net_end *net_end_new(nets *n, bool server) {
  run     *r = n->r;
  net_end *e = calloc(1, sizeof *e);
  EXPECT(r, e != NULL && n->count < NETS_ENDS);
  e->s = calloc(1, sizeof *e->s);
  EXPECT(r, e->s != NULL);
  e->n = n;
  e->server = server;
  e->who = n->count + 1;
  e->to_send = run_chance(r, 20) ? 0 : run_random(r, r->chosen ? NET_TOTAL_CHOSEN : NET_TOTAL_MAX);
  stream_init(e->s, &n->groups[server]);
  n->ends[n->count++] = e;
  n->live++;
  return e;
}

/* It never came to be: no on_close follows. */
static void net_end_drop(net_end *e) {
  EXPECT(e->n->r, !e->n->r->calm);
  free(e->s);
  e->s = NULL;
  e->gone = true;
  e->n->live--;
}

static void net_on_accept(listener *l, os_socket socket, const os_addr *peer) {
  net_end *e = net_end_new(l->key, true);
  e->port = os_addr_port(peer);
  int err = stream_open(e->s, socket);
  run_note(e->n->r, "accepted", e->who, err);
  if (err < 0) {
    net_end_drop(e);
    return;
  }
  e->open = true;
  net_end_go(e);
}

static void net_on_trouble(listener *l, int err) {
  EXPECT(((nets *)l->key)->r, err == 0 || !((nets *)l->key)->r->calm);
}

static void net_on_listener_close(listener *l) {
  nets *n = l->key;
  n->listens = false;
  n->r->busy--;
}

static const listener_handlers net_listener_handlers = {
    .on_accept = net_on_accept, .on_trouble = net_on_trouble, .on_close = net_on_listener_close};

static void net_set(os_socket socket, void *arg) {
  (void)arg;
  os_socket_set_nodelay(socket, true);
}

static void nets_connect(nets *n) {
  net_end *e = net_end_new(n, false);
  n->clients_left--;
  if (stream_connect(e->s, &n->listener.at, 1, net_set, NULL) < 0) net_end_drop(e);
}

/* ---- all of them ---- */

nets *nets_open(run *r) {
  listener_options options = {.backlog = NETS_CLIENTS};
  os_addr          any;
  nets            *n = calloc(1, sizeof *n);
  EXPECT(r, n != NULL);
  n->r = r;
  n->turn.port = r->p;
  n->turn.key = n;
  for (unsigned i = 0; i < 2; i++) {
    n->groups[i] = (stream_group){.on = &net_handlers,
                                  .turn = &n->turn,
                                  .recv_max = 1 + run_random(r, 5000),
                                  .send_high = 1 + run_random(r, 8000),
                                  .send_limit = 2 * NET_TOTAL_MAX,
                                  .recv_pause = i == 1 && run_chance(r, 50)};
    if (!r->calm && run_chance(r, 20)) n->groups[i].send_limit = n->groups[i].send_high + run_random(r, 8000);
  }
  os_addr_parse("127.0.0.1", 0, &any);
  if (listener_open(&n->listener, r->p, n, &any, &options, &net_listener_handlers) < 0) {
    EXPECT(r, !r->calm);
    return n;
  }
  n->listens = true;
  n->clients_left = 1 + (unsigned)run_random(r, NETS_CLIENTS);
  n->disturbances = (unsigned)run_random(r, 10);
  r->busy++;
  listener_start(&n->listener);
  return n;
}

bool nets_own(const nets *n, const port_packet *packet) {
  return packet->key == n;
}

void nets_on_packet(nets *n, const port_packet *packet) {
  completion *c = completion_of(packet);
  run_note(n->r, "completion", 0, packet->err);
  c->run(c);
}

void nets_step(nets *n) {
  if (n->listens && !n->closing) {
    if (n->clients_left > 0) {
      if (run_chance(n->r, 30)) nets_connect(n);
    } else if (n->live == 0) {
      n->closing = true;
      listener_close(&n->listener);
    }
  }
  if (n->count > 0) {
    net_end *e = n->ends[run_random(n->r, n->count)];
    if (e->s != NULL && e->open) net_end_go(e);
  }
  turn_end(&n->turn);
}

void nets_close(nets *n) {
  run *r = n->r;
  for (unsigned i = 0; i < n->count; i++) {
    const net_end *e = n->ends[i], *other = nets_other(n, e);
    EXPECT(r, e->s == NULL);
    if (r->calm) EXPECT(r, other != NULL && e->offered == e->to_send && e->ended && e->got == other->offered);
    if (other != NULL) EXPECT(r, e->got <= other->offered);
  }
  for (unsigned i = 0; i < n->count; i++) free(n->ends[i]);
  turn_fini(&n->turn);
  free(n);
}
