#include "packet_queue.h"

#include <pthread.h>
#include <stdlib.h>

#include "fail.h"

struct packet_queue {
  packet_queue_kind kind;
  port             *port;
  /* the ring, under lock */
  pthread_mutex_t lock;
  pthread_cond_t  filled;
  port_packet    *packets;
  unsigned        packets_max;
  unsigned        first, count;
  bool            ended;
};

static void ring_open(packet_queue *q, unsigned packets_max) {
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->filled, NULL);
  q->packets = calloc(packets_max, sizeof *q->packets);
  if (q->packets == NULL) fail("out of memory");
  q->packets_max = packets_max;
}

packet_queue *packet_queue_open(packet_queue_kind kind, unsigned packets_max, const char *backend,
                                unsigned concurrency) {
  /* The monitor is on, as in the host. */
  const port_options options = {.backend = backend, .concurrency = concurrency, .monitor = true};
  packet_queue      *q = calloc(1, sizeof *q);
  if (q == NULL) fail("out of memory");
  q->kind = kind;
  if (kind == PACKET_QUEUE_RING)
    ring_open(q, packets_max);
  else if (port_open(&options, &q->port) < 0)
    fail("no port '%s' here", backend == NULL ? "auto" : backend);
  return q;
}

static void ring_put(packet_queue *q, void *key, port_op *op) {
  pthread_mutex_lock(&q->lock);
  if (q->count == q->packets_max) fail("the ring is full"); /* who puts keeps to packets_max */
  unsigned at = q->first + q->count++;
  q->packets[at < q->packets_max ? at : at - q->packets_max] = (port_packet){.key = key, .op = op};
  pthread_mutex_unlock(&q->lock);
  pthread_cond_signal(&q->filled);
}

void packet_queue_put(packet_queue *q, void *key, port_op *op) {
  if (q->kind == PACKET_QUEUE_RING)
    ring_put(q, key, op);
  else if (port_post(q->port, key, op, 0) < 0)
    fail("port_post failed");
}

static int ring_get(packet_queue *q, port_packet *out_packets, unsigned max) {
  unsigned taken = 0;
  pthread_mutex_lock(&q->lock);
  while (q->count == 0 && !q->ended) pthread_cond_wait(&q->filled, &q->lock);
  while (taken < max && q->count > 0) {
    out_packets[taken++] = q->packets[q->first];
    if (++q->first == q->packets_max) q->first = 0;
    q->count--;
  }
  pthread_mutex_unlock(&q->lock);
  return (int)taken;
}

int packet_queue_get(packet_queue *q, port_packet *out_packets, unsigned max) {
  if (q->kind == PACKET_QUEUE_RING) return ring_get(q, out_packets, max);
  int taken = port_get(q->port, out_packets, max, PORT_WAIT_FOREVER);
  if (taken < 0 && taken != PORTICO_ECLOSED) fail("port_get failed: %d", taken);
  return taken < 0 ? 0 : taken;
}

static void drop(const port_packet *packet, void *arg) {
  (void)packet;
  (void)arg;
  fail("a packet was still queued at the end");
}

void packet_queue_end(packet_queue *q) {
  if (q->kind == PACKET_QUEUE_PORT) {
    port_close(q->port, drop, NULL);
    return;
  }
  pthread_mutex_lock(&q->lock);
  q->ended = true;
  pthread_mutex_unlock(&q->lock);
  pthread_cond_broadcast(&q->filled);
}

void packet_queue_close(packet_queue *q) {
  if (q->kind == PACKET_QUEUE_PORT) port_unref(q->port);
  free(q->packets);
  free(q);
}
