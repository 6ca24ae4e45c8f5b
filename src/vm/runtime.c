/* runtime.c - counting what is alive, and ending it. */
#include "vm/runtime.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "vm/recorder.h"
#include "vm/server.h"
#include "vm/vm.h"

static const int64_t runtime_last_grace_ns = OS_NS_PER_S; /* between "close all" and "abort all" of a drain */

static void runtime_on_grace(completion *c);

/* ---- counting ---- */

void runtime_hold(runtime *rt) {
  atomic_fetch_add(&rt->live, 1);
}

bool runtime_hold_living(runtime *rt) {
  size_t live = atomic_load(&rt->live);
  while (live > 0) { /* uncovered: race: two at once */
    if (atomic_compare_exchange_weak(&rt->live, &live, live + 1)) return true;
  }
  return false; /* uncovered: race: the last has gone just now */
}

void runtime_release(runtime *rt) {
  size_t before = atomic_fetch_sub(&rt->live, 1);
  CHECK(before > 0);
  if (before == 1) rt->options.on_idle(rt->options.arg);
}

void runtime_hold_connected(runtime *rt) {
  atomic_fetch_add(&rt->connected, 1);
  runtime_hold(rt);
}

void runtime_release_connected(runtime *rt) {
  size_t before = atomic_fetch_sub(&rt->connected, 1);
  CHECK(before > 0);
  if (before == 1 && atomic_load(&rt->state) == RUNTIME_DRAINING) runtime_stop(rt, 0);
  runtime_release(rt);
}

size_t runtime_connections(const runtime *rt) {
  size_t count = 0;
  for (unsigned i = 0; i < rt->options.vms; i++) {
    count += atomic_load_explicit(&rt->vms[i]->assigned, memory_order_relaxed);
  }
  return count;
}

bool runtime_stopping(const runtime *rt) {
  return atomic_load(&rt->state) == RUNTIME_STOPPING; /* in one order with `live`: hold, then look */
}

bool runtime_ending(const runtime *rt) {
  return atomic_load(&rt->state) != RUNTIME_RUNNING; /* in one order with `connected`, see connection_admit */
}

const logger *runtime_log(const runtime *rt) {
  return rt->options.log;
}

/* Moves the state up; false if it was there or beyond already. */
static bool runtime_advance(runtime *rt, runtime_state to) {
  int from = atomic_load(&rt->state);
  while (from < (int)to) {
    if (atomic_compare_exchange_weak(&rt->state, &from, (int)to)) return true; /* uncovered: race: two at once */
  }
  return false;
}

/* ---- the end ---- */

static void runtime_start_grace(runtime *rt, int64_t due_ns) {
  rt->grace.run = runtime_on_grace;
  runtime_hold(rt);
  rt->grace_running = port_timer(rt->options.port, &rt->grace.op, &rt->control, due_ns) == 0;
  /* Without memory for it the drain lasts until the connections have gone. */
  if (!rt->grace_running) runtime_release(rt); /* uncovered: no memory just here */
}

static void runtime_on_close_listeners(completion *c) {
  runtime *rt = container_of(c, runtime, close_listeners);
  server_close_all(rt);
  if (rt->grace_running) port_cancel(&rt->grace.op);
  atomic_store(&rt->close_posted, 0);
  /* Stopping cancels the grace time; a drain (re)starts it. */
  if (!rt->grace_running && !runtime_stopping(rt) && rt->grace_step < 2) { /* uncovered: race: a late drain */
    runtime_start_grace(rt, atomic_load(&rt->grace_until_ns));
  }
  if (atomic_load(&rt->connected) == 0) runtime_stop(rt, 0);
  runtime_release(rt);
}

/* Has the control strand look at the state: after each change of it. */
static void runtime_ask_control(runtime *rt) {
  if (atomic_exchange(&rt->close_posted, 1) != 0) return; /* on its way, it will see the change */
  rt->close_listeners.run = runtime_on_close_listeners;
  runtime_hold(rt);
  strand_post(&rt->control, &rt->close_listeners);
}

/* The time of a drain is over, or it was changed. */
static void runtime_on_grace(completion *c) {
  runtime *rt = container_of(c, runtime, grace);
  rt->grace_running = false;
  int64_t due_ns = atomic_load(&rt->grace_until_ns);
  int64_t now_ns = os_clock_now();
  if (!runtime_stopping(rt)) {
    bool over = rt->grace_step > 0 || now_ns >= due_ns;
    if (over) {
      bool abort = rt->grace_step++ > 0;
      for (unsigned i = 0; i < rt->options.vms; i++) vm_sweep(rt->vms[i], abort);
      due_ns = now_ns + runtime_last_grace_ns;
    }
    if (rt->grace_step < 2) runtime_start_grace(rt, due_ns);
  }
  runtime_release(rt);
}

void runtime_drain(runtime *rt, int64_t until_ns) {
  int64_t current = atomic_load(&rt->grace_until_ns);
  while (until_ns < current) {
    if (atomic_compare_exchange_weak(&rt->grace_until_ns, &current, until_ns)) break; /* uncovered: race: two at once */
  }
  runtime_hold(rt); /* before the look: then the end waits for us, or we see it */
  runtime_advance(rt, RUNTIME_DRAINING);
  if (!runtime_stopping(rt)) runtime_ask_control(rt);
  runtime_release(rt);
}

void runtime_stop(runtime *rt, int exit_code) {
  runtime_hold(rt); /* whoever comes second must not find everything ended before it was even asked to */
  if (runtime_advance(rt, RUNTIME_STOPPING)) {
    atomic_store(&rt->exit_code, exit_code);
    for (unsigned i = 0; i < rt->options.vms; i++) vm_sweep(rt->vms[i], true);
    runtime_ask_control(rt);
    rt->options.on_idle(rt->options.arg); /* whoever holds the runtime for the outside may let go now */
  }
  runtime_release(rt);
}

/* ---- life cycle ---- */

void runtime_start(runtime *rt) {
  server_start_all(rt);
}

int runtime_open(const runtime_options *options, runtime **out_rt) {
  runtime *rt = calloc(1, sizeof *rt);
  if (rt == NULL) return PORTICO_ENOMEM;
  rt->options = *options;
  atomic_init(&rt->grace_until_ns, INT64_MAX);
  os_mutex_init(&rt->opening);
  os_mutex_init(&rt->lock);
  strand_init(&rt->control, options->port, NULL);
  strand_init(&rt->resolving, options->port, NULL);
  int err = options->record_dir == NULL ? 0 : recorder_open(options->port, options->record_dir, &rt->recorder);
  if (err < 0) goto fail;
  err = PORTICO_ENOMEM;
  rt->vms = calloc(options->vms, sizeof *rt->vms);
  if (rt->vms == NULL) goto fail; /* uncovered: no memory just here */
  for (unsigned i = 0; i < options->vms; i++) {
    err = vm_open(rt, i + 1, &rt->vms[i]);
    if (err < 0) goto fail;
  }
  err = watchdog_open(rt, &rt->watchdog);
  if (err < 0) goto fail;
  *out_rt = rt;
  return 0;
fail:
  runtime_close(rt);
  return err;
}

void runtime_close(runtime *rt) {
  CHECK(atomic_load(&rt->live) == 0);
  if (rt->watchdog != NULL) watchdog_close(rt->watchdog);
  rt->watchdog = NULL; /* the finalizers of the VMs still run */
  for (unsigned i = 0; rt->vms != NULL && i < rt->options.vms; i++) {
    if (rt->vms[i] != NULL) vm_close(rt->vms[i]);
  }
  server_free_lost(rt);
  free(rt->vms);
  if (rt->recorder != NULL) recorder_close(rt->recorder);
  strand_fini(&rt->resolving);
  strand_fini(&rt->control);
  os_mutex_fini(&rt->lock);
  os_mutex_fini(&rt->opening);
  free(rt);
}
