/* port_packets.c - what a packet costs that is posted to the completion port and taken from it by another thread,
 * beside a ring under a mutex (packet_queue.c) that does the same.
 *
 *   port_packets [--producers N] [--consumers N] [--batch N] [--packets N] [--rounds N] [--backend NAME]
 *
 * Producers put as fast as they can and sleep for 100 us when OUTSTANDING packets are on their way; consumers take up
 * to `batch` at a time. Rounds alternate: ring, port, port, ring, ... The line of JSON has medians over the rounds, per
 * packet: time on the clock and CPU time of the process. Nothing may be lost, doubled or, seen by one consumer, come
 * before an earlier one of the same producer; what did is counted. */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fail.h"
#include "packet_queue.h"

enum { THREADS_MAX = 64, BATCH_MAX = 1024, ROUNDS_MAX = 101, OUTSTANDING = 32768, FULL_SLEEP_NS = 100000 };

typedef struct settings {
  unsigned    producers, consumers, batch, rounds, concurrency;
  uint64_t    packets;
  const char *backend;
} settings;

typedef struct round {
  const settings   *s;
  packet_queue     *queue;
  uint64_t          packets_each; /* of one producer */
  uint64_t          packets;
  pthread_barrier_t start;
  _Atomic uint64_t  taken; /* of all: the last one ends the queue */
  struct {
    _Alignas(64) _Atomic uint64_t taken; /* of this producer: says when it may go on */
  } of_producer[THREADS_MAX];
} round;

typedef struct producer {
  pthread_t thread;
  round    *round;
  uint64_t  index;
} producer;

typedef struct consumer {
  pthread_t thread;
  round    *round;
  uint64_t *seen; /* a bit for each packet of each producer */
  uint64_t  next[THREADS_MAX]; /* above the greatest number seen of each producer */
  uint64_t  disorder;
  uint64_t  doubled;
} consumer;

typedef struct figures {
  double   wall_ns, cpu_ns; /* per packet */
  uint64_t lost, doubled, disorder;
} figures;

/* --- threads --- */

static void *produce(void *arg) {
  const struct timespec wait = {.tv_nsec = FULL_SLEEP_NS};
  producer             *p = arg;
  round                *r = p->round;
  uint64_t              room = OUTSTANDING / r->s->producers;
  uint64_t              taken = 0;
  void                 *key = (void *)(uintptr_t)(p->index + 1); /* not NULL: that is a key of its own kind */
  pthread_barrier_wait(&r->start);
  for (uint64_t i = 0; i < r->packets_each; i++) {
    while (i - taken == room) {
      taken = atomic_load_explicit(&r->of_producer[p->index].taken, memory_order_relaxed);
      if (i - taken == room) nanosleep(&wait, NULL);
    }
    packet_queue_put(r->queue, key, (port_op *)(uintptr_t)(i + 1));
  }
  return NULL;
}

static void consumer_note(consumer *c, uint64_t source, uint64_t number) {
  uint64_t at = source * c->round->packets_each + number;
  if (number < c->next[source]) c->disorder++;
  c->next[source] = number + 1;
  if (c->seen[at / 64] >> at % 64 & 1) c->doubled++;
  c->seen[at / 64] |= UINT64_C(1) << at % 64;
}

static void *consume(void *arg) {
  consumer   *c = arg;
  round      *r = c->round;
  port_packet packets[BATCH_MAX];
  int         count;
  pthread_barrier_wait(&r->start);
  while ((count = packet_queue_get(r->queue, packets, r->s->batch)) > 0) {
    uint64_t of_producer[THREADS_MAX] = {0};
    for (int i = 0; i < count; i++) {
      uint64_t source = (uint64_t)(uintptr_t)packets[i].key - 1;
      of_producer[source]++;
      consumer_note(c, source, (uint64_t)(uintptr_t)packets[i].op - 1);
    }
    for (unsigned i = 0; i < r->s->producers; i++)
      if (of_producer[i] > 0) atomic_fetch_add(&r->of_producer[i].taken, of_producer[i]);
    if (atomic_fetch_add(&r->taken, (uint64_t)count) + (uint64_t)count == r->packets) packet_queue_end(r->queue);
  }
  return NULL;
}

/* --- one round --- */

static double clock_now_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Adds what the consumers saw together: each packet exactly once. */
static void count_faults(const round *r, consumer *consumers, figures *f) {
  uint64_t *all = consumers[0].seen;
  for (unsigned i = 0; i < r->s->consumers; i++) {
    f->disorder += consumers[i].disorder;
    f->doubled += consumers[i].doubled;
    for (uint64_t word = 0; i > 0 && word <= r->packets / 64; word++) {
      f->doubled += (uint64_t)__builtin_popcountll(all[word] & consumers[i].seen[word]);
      all[word] |= consumers[i].seen[word];
    }
  }
  uint64_t found = 0;
  for (uint64_t word = 0; word <= r->packets / 64; word++) found += (uint64_t)__builtin_popcountll(all[word]);
  f->lost += r->packets - found;
}

static void threads_start(round *r, producer *producers, consumer *consumers) {
  for (unsigned i = 0; i < r->s->consumers; i++) {
    consumers[i].round = r;
    consumers[i].seen = calloc(r->packets / 64 + 1, sizeof(uint64_t));
    if (consumers[i].seen == NULL) fail("out of memory");
    explicit_bzero(consumers[i].seen, (r->packets / 64 + 1) * sizeof(uint64_t)); /* has its pages before the clock */
    if (pthread_create(&consumers[i].thread, NULL, consume, &consumers[i]) != 0) fail("no thread");
  }
  for (unsigned i = 0; i < r->s->producers; i++) {
    producers[i] = (producer){.round = r, .index = i};
    if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0) fail("no thread");
  }
}

static void round_run(const settings *s, packet_queue_kind kind, figures *f) {
  producer producers[THREADS_MAX];
  consumer consumers[THREADS_MAX];
  round    r = {.s = s, .packets_each = s->packets / s->producers};
  memset(consumers, 0, sizeof consumers);
  r.packets = r.packets_each * s->producers;
  r.queue = packet_queue_open(kind, OUTSTANDING, s->backend, s->concurrency);
  pthread_barrier_init(&r.start, NULL, s->producers + s->consumers + 1);
  threads_start(&r, producers, consumers);
  double wall_ns = clock_now_ns(CLOCK_MONOTONIC);
  double cpu_ns = clock_now_ns(CLOCK_PROCESS_CPUTIME_ID);
  pthread_barrier_wait(&r.start);
  for (unsigned i = 0; i < s->producers; i++) pthread_join(producers[i].thread, NULL);
  for (unsigned i = 0; i < s->consumers; i++) pthread_join(consumers[i].thread, NULL);
  f->wall_ns = (clock_now_ns(CLOCK_MONOTONIC) - wall_ns) / (double)r.packets;
  f->cpu_ns = (clock_now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns) / (double)r.packets;
  count_faults(&r, consumers, f);
  packet_queue_close(r.queue);
  pthread_barrier_destroy(&r.start);
  for (unsigned i = 0; i < s->consumers; i++) free(consumers[i].seen);
}

/* --- all rounds --- */

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *list, unsigned count) {
  qsort(list, count, sizeof *list, by_size);
  return (list[count / 2] + list[(count - 1) / 2]) / 2;
}

static void run_all(const settings *s) {
  double  ring_wall[ROUNDS_MAX], ring_cpu[ROUNDS_MAX], port_wall[ROUNDS_MAX], port_cpu[ROUNDS_MAX];
  double  wall_ratio[ROUNDS_MAX], cpu_ratio[ROUNDS_MAX];
  figures of_ring = {0}, of_port = {0};
  for (unsigned i = 0; i <= s->rounds; i++) { /* round 0 warms up: its times are overwritten */
    unsigned at = i == 0 ? 0 : i - 1;
    if (i % 2 == 0) round_run(s, PACKET_QUEUE_PORT, &of_port);
    round_run(s, PACKET_QUEUE_RING, &of_ring);
    if (i % 2 == 1) round_run(s, PACKET_QUEUE_PORT, &of_port);
    ring_wall[at] = of_ring.wall_ns, ring_cpu[at] = of_ring.cpu_ns;
    port_wall[at] = of_port.wall_ns, port_cpu[at] = of_port.cpu_ns;
    wall_ratio[at] = of_port.wall_ns / of_ring.wall_ns, cpu_ratio[at] = of_port.cpu_ns / of_ring.cpu_ns;
  }
  double mid = median(wall_ratio, s->rounds); /* sorts */
  printf("{\"mode\":\"packets\",\"producers\":%u,\"consumers\":%u,\"batch\":%u,\"packets\":%llu,\"rounds\":%u",
         s->producers, s->consumers, s->batch, (unsigned long long)s->packets, s->rounds);
  printf(",\"ring_wall_ns\":%.1f,\"port_wall_ns\":%.1f,\"ring_cpu_ns\":%.1f,\"port_cpu_ns\":%.1f",
         median(ring_wall, s->rounds), median(port_wall, s->rounds), median(ring_cpu, s->rounds),
         median(port_cpu, s->rounds));
  printf(",\"wall_ratio\":%.3f,\"wall_ratio_min\":%.3f,\"wall_ratio_max\":%.3f,\"packet_cpu_ratio\":%.3f", mid,
         wall_ratio[0], wall_ratio[s->rounds - 1], median(cpu_ratio, s->rounds));
  printf(",\"lost\":%llu,\"doubled\":%llu,\"disorder\":%llu,\"ring_faults\":%llu}\n", (unsigned long long)of_port.lost,
         (unsigned long long)of_port.doubled, (unsigned long long)of_port.disorder,
         (unsigned long long)(of_ring.lost + of_ring.doubled + of_ring.disorder));
}

static unsigned number(const char *text, unsigned max) {
  char         *end;
  unsigned long value = strtoul(text, &end, 10);
  if (end == text || *end != '\0' || value < 1 || value > max) fail("'%s' is not a number within 1 and %u", text, max);
  return (unsigned)value;
}

int main(int argc, char **argv) {
  static const struct option names[] = {
      {"producers", required_argument, NULL, 'p'}, {"consumers", required_argument, NULL, 'c'},
      {"batch", required_argument, NULL, 'b'},     {"packets", required_argument, NULL, 'n'},
      {"rounds", required_argument, NULL, 'r'},    {"concurrency", required_argument, NULL, 'o'},
      {"backend", required_argument, NULL, 'k'},   {NULL, 0, NULL, 0},
  };
  settings s = {.producers = 1, .consumers = 1, .batch = 64, .packets = 1000000, .rounds = 7};
  int      found;
  while ((found = getopt_long(argc, argv, "", names, NULL)) != -1) {
    if (found == 'p') s.producers = number(optarg, THREADS_MAX);
    else if (found == 'c') s.consumers = number(optarg, THREADS_MAX);
    else if (found == 'b') s.batch = number(optarg, BATCH_MAX);
    else if (found == 'n') s.packets = number(optarg, 100000000);
    else if (found == 'r') s.rounds = number(optarg, ROUNDS_MAX);
    else if (found == 'o') s.concurrency = number(optarg, 1024);
    else if (found == 'k') s.backend = optarg;
    else return 2; /* getopt_long has said what is wrong */
  }
  if (s.packets < s.producers) fail("fewer packets than producers");
  run_all(&s);
  return 0;
}
