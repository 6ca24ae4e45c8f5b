/* run.c - the life of one run: made from its seed or choices, stepped until all is over, checked after each step. */
#include "run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUN_PACKETS = 8, RUN_STEPS_MAX = 1000000, RUN_WORKERS_MAX = 5 };
static const int64_t run_patience_ns = 20LL * OS_NS_PER_S; /* virtual: far beyond any delay and retry of a world */

_Noreturn void run_fail(const run *r, const char *what, const char *file, int line) {
  fflush(stdout);
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  if (r->chosen) abort();
  fprintf(stderr, "seed %" PRIu64 " failed; again, with all that happens: sim --from %" PRIu64 " --seeds 1 --trace\n",
          r->seed, r->seed);
  exit(1);
}

/* One byte, or as many as n needs: so that one that changes does not move the others. */
static uint64_t run_choose(run *r, uint64_t n) {
  uint64_t value = 0;
  for (uint64_t left = n - 1; left > 0 && r->choices_left > 0; left >>= 8, r->choices_left--) {
    value = value << 8 | *r->choices++;
  }
  return value % n;
}

uint64_t run_random(run *r, uint64_t n) {
  return r->choices_left > 0 ? run_choose(r, n) : os_sim_random(r->world, n);
}

bool run_chance(run *r, unsigned percent) {
  return run_random(r, 100) < percent;
}

static void run_hash(run *r, uint64_t value) {
  r->hash = (r->hash ^ value) * 0x100000001b3;
}

void run_note(run *r, const char *what, unsigned who, int64_t amount) {
  for (const char *c = what; *c != '\0'; c++) run_hash(r, (unsigned char)*c);
  run_hash(r, who);
  run_hash(r, (uint64_t)amount);
  if (r->trace) printf("    e%u %s %" PRId64 "\n", who, what, amount);
}

/* ---- watched operations ---- */

void run_starting(watched *w, const char *what, unsigned who, void *key,
                  void (*on_end)(run *r, watched *w, const port_packet *packet)) {
  w->what = what;
  w->who = who;
  w->key = key;
  w->on_end = on_end;
  w->cancelled = false;
}

bool run_started(run *r, watched *w, int err) {
  EXPECT(r, !w->pending);
  EXPECT(r, err <= 0);
  if (err == 0) {
    w->pending = true;
    r->pending++;
  } else {
    run_note(r, w->what, w->who, err);
    EXPECT(r, !r->calm);
  }
  return err == 0;
}

void run_cancel(run *r, watched *w) {
  int err = port_cancel(&w->op);
  run_note(r, "cancel", w->who, err);
  EXPECT(r, err == 0 || err == PORTICO_ENOTFOUND);
  if (!w->pending || w->cancelled) EXPECT(r, err == PORTICO_ENOTFOUND);
  else w->cancelled = err == 0;
}

void run_on_packet(run *r, const port_packet *packet) {
  const run_parts *parts = &r->parts;
  r->progress_ns = os_clock_now();
  if (parts->nets != NULL && nets_own(parts->nets, packet)) {
    nets_on_packet(parts->nets, packet);
    return;
  }
  EXPECT(r, r->pending > 0);
  r->pending--;
  if (packet->key == &ticks_post_key) {
    ticks_on_post(parts->ticks, packet);
    return;
  }
  if (packet->key == &blocks_post_key) {
    blocks_on_post(parts->blocks, packet);
    return;
  }
  watched *w = (watched *)packet->op;
  run_note(r, w->what, w->who, packet->err < 0 ? packet->err : (int64_t)packet->bytes);
  EXPECT(r, w->pending); /* one packet for each start */
  EXPECT(r, packet->key == w->key);
  w->pending = false;
  w->on_end(r, w, packet);
}

/* What the port counts is what was started and not taken; but src/net starts what it likes, and a worker may hold
 * packets that it has not handed out yet. */
static void run_check_counts(run *r) {
  port_stats stats;
  port_get_stats(r->p, &stats);
  if (r->parts.nets != NULL) return;
  EXPECT(r, stats.pending + stats.queued <= r->pending);
  EXPECT(r, r->workers > 0 || stats.pending + stats.queued == r->pending);
}

/* ---- one run ---- */

static uint32_t run_rate(run *r, uint64_t *dice, unsigned most_percent) {
  if (r->choices_left > 0) return (uint32_t)(run_choose(r, 256) * most_percent * (OS_SIM_ALWAYS / 100) / 256);
  *dice = *dice * 6364136223846793005 + 1442695040888963407;
  return (*dice >> 33) % 2 == 0 ? 0 : (uint32_t)((*dice >> 34) % (most_percent * (OS_SIM_ALWAYS / 100)));
}

static void run_print(const char *line, void *arg) {
  (void)arg;
  printf("%s\n", line);
}

/* Half of the runs have workers. */
static void run_choose_workers(run *r, uint64_t *dice, os_sim_rates *rates) {
  rates->preempt = run_rate(r, dice, 60);
  r->workers = (*dice >> 40) % 2 == 0 ? 1 + (unsigned)((*dice >> 42) % RUN_WORKERS_MAX) : 0;
  if (r->workers > 0) r->concurrency = 1 + (unsigned)((*dice >> 46) % r->workers);
  r->monitor = r->workers > 0 && (*dice >> 50) % 2 == 0;
}

/* Half of the runs are calm; in each some faults are frequent and others do not happen. */
static void run_open(run *r, run_about about) {
  uint64_t       dice = r->seed;
  os_sim_options options = {.seed = r->seed, .on_trace = r->trace ? run_print : NULL};
  run_rate(r, &dice, 1);
  r->calm = r->choices_left > 0 ? run_choose(r, 2) == 0 : (dice >> 40) % 2 == 0;
  options.rates = (os_sim_rates){.delay = run_rate(r, &dice, 90),
                                 .split = run_rate(r, &dice, 50),
                                 .short_send = run_rate(r, &dice, 50),
                                 .again = run_rate(r, &dice, 30),
                                 .spurious = run_rate(r, &dice, 30),
                                 .shuffle = run_rate(r, &dice, 100),
                                 .stall = run_rate(r, &dice, 1)};
  options.buffer_bytes = 200 + (r->choices_left > 0 ? run_choose(r, 8000) : (dice >> 40) % 8000);
  if (!r->calm) {
    options.rates.reset = run_rate(r, &dice, 5);
    options.rates.refuse = run_rate(r, &dice, 30);
    options.rates.descriptors = run_rate(r, &dice, 20);
    options.rates.buffers = run_rate(r, &dice, 10);
    options.rates.memory = run_rate(r, &dice, 10);
    options.rates.drop = run_rate(r, &dice, 30);
    options.rates.duplicate = run_rate(r, &dice, 30);
    options.rates.reorder = run_rate(r, &dice, 30);
  }
  r->concurrency = 1;
  if (about != RUN_NETS) run_choose_workers(r, &dice, &options.rates);
  EXPECT(r, os_sim_open(&options, &r->world) == 0);
  os_sim_enter(r->world);
  os_mutex_init(&r->lock);
  port_options wanted = {.backend = "sim", .concurrency = r->concurrency, .monitor = r->monitor};
  int          err;
  do err = port_open(&wanted, &r->p);
  while (err == PORTICO_ENOMEM && !r->calm);
  EXPECT(r, err == 0);
}

/* Everything was closed: nothing may be left, anywhere. */
static void run_close_port(run *r) {
  port_stats stats;
  port_get_stats(r->p, &stats);
  EXPECT(r, stats.pending == 0 && stats.queued == 0);
  EXPECT(r, port_close(r->p, NULL, NULL) == 0);
}

static void run_close_world(run *r) {
  os_sim_stats world;
  port_packet  none; /* lets this thread's membership go, and with it the port */
  EXPECT(r, port_get(r->p, &none, 1, 0) == PORTICO_ECLOSED);
  port_unref(r->p);
  os_sim_get_stats(r->world, &world);
  EXPECT(r, world.sockets == 0);
  EXPECT(r, world.stale_calls == 0);
  run_hash(r, world.trace_hash);
  os_mutex_fini(&r->lock);
  os_sim_leave();
  os_sim_close(r->world);
}

/* Takes packets, as a worker does, and hands them out. */
static void run_take(run *r) {
  port_packet packets[RUN_PACKETS];
  unsigned    max = 1 + (unsigned)run_random(r, RUN_PACKETS);
  int64_t     timeout_ns = run_chance(r, 20) ? 0 : (int64_t)run_random(r, 5 * OS_NS_PER_MS);
  int64_t     began_ns = os_clock_now();
  bool        one_key = run_chance(r, 50);
  int         n = (one_key ? port_get_run : port_get)(r->p, packets, max, timeout_ns);
  EXPECT(r, n >= 1 || n == PORTICO_ETIMEDOUT);
  if (n < 0) { /* never early, and not while there is something to take */
    port_stats stats;
    port_get_stats(r->p, &stats);
    EXPECT(r, os_clock_now() - began_ns >= timeout_ns && stats.queued == 0);
  }
  for (int i = 0; i < n; i++) {
    if (one_key) EXPECT(r, packets[i].key == packets[0].key);
    run_on_packet(r, &packets[i]);
  }
}

/* The streams of src/net want the packets of one key one after the other: they have no workers. */
static void run_parts_open(run *r, run_about about) {
  r->parts.ticks = ticks_open(r);
  if (r->workers == 0 && (about == RUN_ANY ? run_chance(r, 60) : about == RUN_NETS)) {
    r->parts.nets = nets_open(r);
  } else {
    r->parts.streams = streams_open(r);
    r->parts.datagrams = datagrams_open(r);
  }
  if (r->workers > 1) r->parts.blocks = blocks_open(r);
}

static void run_parts_step(run *r) {
  if (r->parts.nets != NULL) nets_step(r->parts.nets);
  else streams_step(r->parts.streams);
  if (r->parts.blocks != NULL) blocks_step(r->parts.blocks);
  ticks_step(r->parts.ticks);
}

static void run_parts_close(run *r) {
  if (r->parts.nets != NULL) {
    nets_close(r->parts.nets);
  } else {
    streams_close(r->parts.streams);
    datagrams_close(r->parts.datagrams);
  }
  if (r->parts.blocks != NULL) blocks_close(r->parts.blocks);
  ticks_close(r->parts.ticks);
}

/* One step of the workload, then a look at what holds. result: true if it is over */
static bool run_step_locked(run *r) {
  run_parts_step(r);
  if (r->workers == 0) run_take(r);
  run_check_counts(r);
  EXPECT(r, os_clock_now() - r->progress_ns < run_patience_ns); /* something was lost: nothing moves any more */
  return r->busy == 0 && r->pending == 0;
}

/* Steps until all is over; where there are workers, they have the time in between. */
static void run_to_end(run *r) {
  os_event pause;
  bool     over = false;
  EXPECT(r, os_event_init(&pause) == 0);
  workers *crew = r->workers > 0 ? workers_open(r, &pause) : NULL;
  for (unsigned steps = 0; !over; steps++) {
    EXPECT(r, steps < RUN_STEPS_MAX);
    os_mutex_lock(&r->lock);
    over = run_step_locked(r);
    os_mutex_unlock(&r->lock);
    if (crew == NULL) continue;
    workers_step(crew);
    os_event_wait(&pause, (int64_t)run_random(r, run_chance(r, 80) ? OS_NS_PER_MS : OS_NS_PER_S));
  }
  run_parts_close(r);
  run_close_port(r);
  if (crew != NULL) workers_close(crew);
  os_event_fini(&pause);
}

static uint64_t run_all(run *r, run_about about) {
  r->hash = 0xcbf29ce484222325;
  run_open(r, about);
  r->progress_ns = os_clock_now();
  run_parts_open(r, about);
  run_to_end(r);
  run_close_world(r);
  return r->hash;
}

uint64_t run_seed(uint64_t seed, bool trace) {
  run r = {.seed = seed, .trace = trace};
  return run_all(&r, RUN_ANY);
}

void run_choices(run_about about, const unsigned char *choices, size_t len, bool trace) {
  run r = {.trace = trace, .chosen = true, .choices = choices, .choices_left = len};
  r.seed = run_choose(&r, 1 << 16);
  run_all(&r, about);
}
