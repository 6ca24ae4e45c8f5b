/* datagrams.c - one sends numbered datagrams to another. In a calm run it waits for the arrival of each, and all come;
 * otherwise some are lost, doubled or late, but what comes is whole. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { DATAGRAMS = 20, DATAGRAM_BYTES = 100 };

struct datagrams {
  run         *r;
  port_handle *from, *to; /* NULL: not made, or closed */
  os_addr      from_at, to_at;
  watched      send, recv;
  uint32_t     sent, came;
  uint32_t     room; /* of the receive: some are too small */
  unsigned char out[DATAGRAM_BYTES], in[DATAGRAM_BYTES];
  os_addr      source;
};

static void datagrams_fill(unsigned char *bytes, uint32_t number) {
  memcpy(bytes, &number, sizeof number);
  for (unsigned i = sizeof number; i < DATAGRAM_BYTES; i++) bytes[i] = (unsigned char)(number * 7 + i);
}

static uint32_t datagrams_len(uint32_t number) {
  return (uint32_t)sizeof number + number * 13 % (DATAGRAM_BYTES - (uint32_t)sizeof number);
}

static void datagrams_send(datagrams *d);
static void datagrams_recv(datagrams *d);

static void datagrams_end(datagrams *d) {
  if (d->from == NULL) return;
  port_handle_close(d->from);
  port_handle_close(d->to);
  d->from = d->to = NULL;
  d->r->busy--;
}

static void datagrams_on_recv(run *r, watched *w, const port_packet *packet) {
  datagrams    *d = packet->key;
  uint32_t      number;
  unsigned char want[DATAGRAM_BYTES];
  (void)w;
  if (d->to == NULL) { /* closed */
    if (packet->err == PORTICO_ECANCELED) return;
  }
  EXPECT(r, packet->err == 0 || packet->err == PORTICO_EMSGSIZE);
  memcpy(&number, d->in, sizeof number);
  datagrams_fill(want, number);
  bool cut = datagrams_len(number) > d->room;
  EXPECT(r, packet->err == (cut ? PORTICO_EMSGSIZE : 0));
  EXPECT(r, packet->bytes == (cut ? d->room : datagrams_len(number)));
  EXPECT(r, memcmp(d->in, want, packet->bytes) == 0);
  EXPECT(r, os_addr_port(&d->source) == os_addr_port(&d->from_at));
  EXPECT(r, number < d->sent + (d->send.pending ? 1 : 0));
  if (r->calm) EXPECT(r, number == d->came);
  d->came++;
  if (d->to == NULL) return;
  datagrams_recv(d);
  if (r->calm) datagrams_send(d);
}

static void datagrams_recv(datagrams *d) {
  run_starting(&d->recv, "recv from", 0, d, datagrams_on_recv);
  d->room = run_chance(d->r, 30) ? (uint32_t)(sizeof(uint32_t) + run_random(d->r, DATAGRAM_BYTES / 2)) : DATAGRAM_BYTES;
  int err = port_recv_from(d->to, &d->recv.op, &(port_buf){d->in, d->room}, 1, &d->source);
  run_started(d->r, &d->recv, err);
}

static void datagrams_on_send(run *r, watched *w, const port_packet *packet) {
  datagrams *d = packet->key;
  (void)w;
  if (packet->err == 0) EXPECT(r, packet->bytes == datagrams_len(d->sent++));
  else EXPECT(r, !r->calm || d->from == NULL);
  if (!r->calm || (d->came == d->sent)) datagrams_send(d); /* else the arrival goes on */
}

static void datagrams_send(datagrams *d) {
  if (d->from == NULL || d->send.pending) return;
  if (d->sent == DATAGRAMS) {
    datagrams_end(d);
    return;
  }
  datagrams_fill(d->out, d->sent);
  uint32_t len = datagrams_len(d->sent);
  run_starting(&d->send, "send to", 0, d, datagrams_on_send);
  int err = port_send_to(d->from, &d->send.op, (port_buf[]){{d->out, 3}, {d->out + 3, len - 3}}, 2, &d->to_at);
  if (!run_started(d->r, &d->send, err)) datagrams_end(d);
}

/* result   NULL: the system has refused one of the steps */
static port_handle *datagrams_make(datagrams *d, os_addr *out_at) {
  os_addr      any;
  os_socket    s;
  port_handle *h = NULL;
  os_addr_parse("127.0.0.1", 0, &any);
  if (os_socket_open(OS_UDP, &any, &s) < 0) return NULL;
  EXPECT(d->r, os_socket_bind(s, &any) == 0 && os_socket_local(s, out_at) == 0);
  if (port_adopt(d->r->p, s, PORT_DATAGRAM, d, &h) < 0) os_socket_close(s);
  return h;
}

datagrams *datagrams_open(run *r) {
  datagrams *d = calloc(1, sizeof *d);
  EXPECT(r, d != NULL);
  d->r = r;
  d->from = datagrams_make(d, &d->from_at);
  d->to = datagrams_make(d, &d->to_at);
  if (d->from == NULL || d->to == NULL) {
    EXPECT(r, !r->calm);
    if (d->from != NULL) port_handle_close(d->from);
    if (d->to != NULL) port_handle_close(d->to);
    d->from = d->to = NULL;
    return d;
  }
  r->busy++;
  datagrams_recv(d);
  datagrams_send(d);
  return d;
}

void datagrams_close(datagrams *d) {
  if (d->r->calm) EXPECT(d->r, d->came == DATAGRAMS);
  free(d);
}
