/* port_monitor.c - notices what nobody says: a worker that sleeps in the middle of a handler, and a source that nobody
 * polls because the leader has gone to run a long one.
 *
 * It ticks only while workers run, and sleeps for good once none does; the next packet taken wakes it. A tick takes the
 * processor away from a worker and leaves it cold caches, some 50 us in all: a thousand a second would cost as much as
 * the handlers of a small server. So ticks are short only after trouble. */
#include "os/clock.h"
#include "port/port_queue.h"

enum {
  MONITOR_TICK_NS = 500 * OS_NS_PER_US,    /* a leader missing for a whole one is replaced */
  MONITOR_TICK_MAX_NS = 4 * OS_NS_PER_MS,  /* while there is no trouble */
  MONITOR_CALM_TICKS = 16,                 /* ticks without trouble before they get longer */
  MONITOR_SUSPECT_NS = 200 * OS_NS_PER_US, /* while a worker looks blocked */
  MONITOR_IDLE_TICKS = 8,                  /* quiet ticks before it sleeps for good */
  MONITOR_ASLEEP_TICKS = 2,                /* sightings before a worker is taken for blocked: not a lock hiccup */
};
/* Ticks stay short so long after trouble: the longer, the more often it came back. */
static const int64_t monitor_alert_min_ns = 250 * OS_NS_PER_MS, monitor_alert_max_ns = 4LL * OS_NS_PER_S;

/* What the last tick saw. */
typedef struct monitor_sight {
  uint64_t polls, taken;
  unsigned idle_ticks, calm_ticks;
  int64_t  tick_ns;
  int64_t  trouble_ns, alert_ns; /* when the last trouble was; how long after it to be on the alert */
} monitor_sight;

/* What a look at the running workers shows. */
typedef struct monitor_finding {
  bool suspect; /* one may be asleep: look again soon */
  bool blocked; /* one is, and does not count any more */
} monitor_finding;

/* True if the member may be asleep in the kernel: it has not moved since the last tick and, as far as is known, used no
 * processor time. A worker that only waits for a processor looks the same, but for the state of its thread. */
static bool monitor_suspects_locked(member *m) {
  if (m->epoch != m->seen_epoch) {
    m->seen_epoch = m->epoch;
    m->seen_cpu_ns = -1; /* not worth asking for the time of one that moves */
    m->seen_asleep = 0;
    return false;
  }
  int64_t cpu_ns = os_thread_cpu_ns(&m->view);
  if (cpu_ns < 0) return false; /* uncovered: this kernel tells the time of each thread */
  bool first = m->seen_cpu_ns < 0;
  bool still = cpu_ns == m->seen_cpu_ns;
  m->seen_cpu_ns = cpu_ns;
  m->seen_asleep = still && os_thread_asleep(&m->view) ? m->seen_asleep + 1 : 0;
  return first || still;
}

/* Looks at every running worker while the gate is full. */
static monitor_finding monitor_find_blocked_locked(port_queue *q) {
  monitor_finding found = {0};
  for (member *m = q->members; m != NULL; m = m->next) {
    if (m->state == MEMBER_PRESUMED) {
      /* It woke up and runs on: it counts again, even beyond the concurrency value. */
      if (!os_thread_asleep(&m->view)) port_queue_move_locked(q, m, MEMBER_ACTIVE);
    } else if (m->state == MEMBER_ACTIVE && monitor_suspects_locked(m)) {
      found.suspect = true;
      if (m->seen_asleep < MONITOR_ASLEEP_TICKS) continue;
      port_queue_move_locked(q, m, MEMBER_PRESUMED);
      found.blocked = true;
    }
  }
  return found;
}

/* Trouble tends to come back: a handler that blocked does it again. But it may also have been the kernel, once: making
 * room for more descriptors, for example, puts an accept to sleep. */
static void monitor_note_trouble(monitor_sight *last, int64_t now_ns) {
  int64_t since_ns = now_ns - last->trouble_ns;
  if (since_ns > 2 * monitor_alert_max_ns) last->alert_ns = monitor_alert_min_ns;
  else if (since_ns > monitor_alert_min_ns && last->alert_ns < monitor_alert_max_ns) last->alert_ns *= 2;
  last->trouble_ns = now_ns;
  last->calm_ticks = 0;
  last->tick_ns = MONITOR_TICK_NS;
}

static int64_t monitor_next_tick(monitor_sight *last, bool trouble, bool suspect) {
  int64_t now_ns = os_clock_now();
  last->calm_ticks++;
  if (trouble) {
    monitor_note_trouble(last, now_ns);
  } else if (last->calm_ticks >= MONITOR_CALM_TICKS && now_ns - last->trouble_ns > last->alert_ns) {
    last->calm_ticks = 0;
    if (last->tick_ns < MONITOR_TICK_MAX_NS) last->tick_ns *= 2;
  }
  return suspect ? MONITOR_SUSPECT_NS : last->tick_ns;
}

/* One look. Gives the lock back. result: how long to sleep, -1 = until a packet is taken */
static int64_t monitor_tick_and_unlock(port_queue *q, monitor_sight *last) {
  bool quiet = q->active == 0 && q->taken == last->taken;
  bool unpolled = q->leader == NULL && q->polls == last->polls;
  last->idle_ticks = quiet ? last->idle_ticks + 1 : 0;
  last->polls = q->polls;
  last->taken = q->taken;
  if (last->idle_ticks >= MONITOR_IDLE_TICKS) {
    q->monitor.parked = true;
    os_mutex_unlock(&q->lock);
    return -1;
  }
  /* Somebody could run, but the gate is full, and there are packets or there may be: is it full of sleepers? */
  bool full = q->active >= q->max && q->waiting > 0 && (q->queued > 0 || unpolled);
  monitor_finding found = {0};
  if (full) found = monitor_find_blocked_locked(q);
  /* While the gate is full of running workers nobody else needs to poll. */
  bool promote = unpolled && q->active < q->max && q->newest != NULL;
  port_queue_unlock_and_serve(q, promote);
  return monitor_next_tick(last, found.blocked || promote, found.suspect);
}

static void monitor_body(void *arg) {
  port_queue   *q = arg;
  monitor_sight last = {.tick_ns = MONITOR_TICK_NS, .trouble_ns = INT64_MIN / 2};
  int64_t       sleep_ns = MONITOR_TICK_NS;
  for (;;) {
    os_event_wait(&q->monitor.event, sleep_ns);
    os_mutex_lock(&q->lock);
    if (q->monitor.stop) break;
    sleep_ns = monitor_tick_and_unlock(q, &last);
  }
  os_mutex_unlock(&q->lock);
}

int port_monitor_start(port_queue *q) {
  int err = os_event_init(&q->monitor.event);
  if (err < 0) return err; /* uncovered: only on Windows does an event need anything */
  err = os_thread_start(&q->monitor.thread, monitor_body, q);
  if (err < 0) os_event_fini(&q->monitor.event);
  else q->monitor.started = true;
  return err;
}

void port_monitor_stop(port_queue *q) {
  if (!q->monitor.started) return;
  os_mutex_lock(&q->lock);
  q->monitor.stop = true;
  os_mutex_unlock(&q->lock);
  os_event_set(&q->monitor.event);
  os_thread_join(&q->monitor.thread);
  os_event_fini(&q->monitor.event);
}
