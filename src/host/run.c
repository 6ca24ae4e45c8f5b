/* run.c - workers, start, wait, drain, stop. */
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "host/host.h"
#include "os/clock.h"
#include "vm/inbox.h"

static const int64_t host_look_ns = 10 * OS_NS_PER_MS; /* whether the end came from another thread, or a signal */

/* ---- workers ---- */

/* Packets in, strands on.
 * result   1; 0 = none came in time; ECLOSED = a packet without a key, which is the end, or word of it; ENOMEM */
static int worker_step(portico_host *h, int64_t timeout_ns) {
  port_packet packets[STRAND_BATCH];
  int         count = port_get_run(h->port, packets, STRAND_BATCH, timeout_ns);
  if (count < 1) return count == PORTICO_ETIMEDOUT ? 0 : count;
  if (packets[0].key == NULL) return PORTICO_ECLOSED;
  strand_deliver(packets[0].key, packets, (unsigned)count);
  return 1;
}

/* A thread that there is no memory for to make it a member of the port asks again: nobody else would do its work. */
static void worker_body(void *arg) {
  portico_host *h = arg;
  int           ran;
  watchdog_join();
  while ((ran = worker_step(h, PORT_WAIT_FOREVER)) >= 0 || ran == PORTICO_ENOMEM) {
    if (ran < 0) os_thread_yield();
  }
  watchdog_leave(h->rt->watchdog);
}

int host_start_workers(portico_host *h) {
  CHECK(h->workers == NULL);
  if (h->config.own_loop) return 0;
  h->workers = calloc(h->config.workers, sizeof *h->workers);
  if (h->workers == NULL) return PORTICO_ENOMEM;
  for (; h->running < h->config.workers; h->running++) {
    int err = os_thread_start(&h->workers[h->running], worker_body, h);
    if (err < 0) return err;
  }
  return 0;
}

static void host_join_workers(portico_host *h) {
  for (unsigned i = 0; i < h->running; i++) {
    while (port_post(h->port, NULL, NULL, 0) == PORTICO_ENOMEM) os_thread_yield(); /* uncovered: no memory just here */
  }
  for (unsigned i = 0; i < h->running; i++) os_thread_join(&h->workers[i]);
  free(h->workers);
  h->workers = NULL;
  h->running = 0;
}

/* As worker_step, for a caller that is no worker. result: 1, also for word of the end; 0; ENOMEM */
static int host_step(portico_host *h, int64_t timeout_ns) {
  int ran = worker_step(h, timeout_ns);
  if (ran != PORTICO_ECLOSED) return ran;
  atomic_store(&h->word_posted, 0);
  return 1;
}

/* A start that failed may have left something to be ended, and no worker to do it: then the caller does. A strand whose
 * last resource has gone may still have word for itself in the queue: that is taken out, too. The dog of a host with
 * own_loop has no eyes, and the caller may be a worker whom another one watches. */
static void host_work_off(portico_host *h) {
  bool joined = !h->config.own_loop && watchdog_join();
  while (atomic_load(&h->rt->live) > 0) host_step(h, host_look_ns);
  while (host_step(h, 0) > 0) continue;
  if (joined) watchdog_leave(h->rt->watchdog);
}

void host_finish(portico_host *h) {
  if (atomic_load(&h->state) == HOST_STOPPED) return;
  portico_hold(h, false);
  runtime_stop(h->rt, 0);
  if (h->running == 0) host_work_off(h);
  while (atomic_load(&h->rt->live) > 0) os_event_wait(&h->wake, -1);
  host_join_workers(h);
  atomic_store(&h->state, HOST_STOPPED);
}

/* ---- start ---- */

static int host_run_main(portico_host *h, vm *v) {
  int err = host_compile(h, v);
  if (err < 0) return err;
  err = vm_run_main(v, h->name, h->argc, (const char *const *)h->argv);
  return err == 0 ? 0 : host_fail_in_script(h, v);
}

/* The first VM runs the script; the others follow if there is something for them to do. */
static int host_run_all(portico_host *h) {
  int err = host_run_main(h, h->rt->vms[0]);
  if (err < 0) return err;
  bool more = atomic_load(&h->rt->listeners) > 0 || inbox_wanted(h->rt->vms[0]);
  for (unsigned i = 1; err == 0 && more && !runtime_stopping(h->rt) && i < h->config.vms; i++) {
    err = host_run_main(h, h->rt->vms[i]);
  }
  return err;
}

int portico_start(portico_host *h) {
  if (h == NULL) return PORTICO_EINVAL;
  if (atomic_load(&h->state) != HOST_LOADED) {
    return host_fail(h, PORTICO_EINVAL, "nothing to start: load a script first, and start once");
  }
  runtime_hold(h->rt);
  int err = host_run_all(h);
  if (err == 0) runtime_start(h->rt);
  if (err == 0) {
    err = host_start_workers(h);
    if (err < 0) host_fail(h, err, "cannot start %u worker threads: %s", h->config.workers, portico_error_text(err));
  }
  runtime_release(h->rt);
  if (err == 0) atomic_store(&h->state, HOST_STARTED);
  return err;
}

/* ---- the end ---- */

static const int64_t host_patience_ns = OS_NS_PER_S; /* with a program that was interrupted twice */

static void host_heed_interrupts(portico_host *h) {
  unsigned now = atomic_load(&h->interrupts);
  if (h->heeded == 0 && now > 0) {
    log_write(&h->log, PORTICO_LOG_INFO, 0, "interrupted: draining, once more to stop at once");
    portico_drain(h, (double)atomic_load(&h->interrupt_grace_ms) / 1000);
  }
  if (h->heeded < 2 && now >= 2) portico_stop(h, 0);
  h->heeded = now;
}

bool host_ended(portico_host *h) {
  if (atomic_load(&h->state) != HOST_STARTED) return true;
  host_heed_interrupts(h);
  if (runtime_stopping(h->rt)) portico_hold(h, false);
  if (atomic_load(&h->rt->live) > 0) return false;
  host_finish(h);
  return true;
}

/* Waits for the workers to bring the program to its end. */
static int host_await_end(portico_host *h) {
  while (!host_ended(h)) {
    if (h->heeded < 2) {
      os_event_wait(&h->wake, -1);
    } else if (!os_event_wait(&h->wake, host_patience_ns)) { /* uncovered: tests/e2e/stdio_test.sh, but by an _Exit */
      return host_fail(h, PORTICO_EBUSY, "a handler hangs in a C function: it did not hear that the program stops");
    }
  }
  return 0;
}

int portico_step(portico_host *h, int64_t timeout_ns) {
  if (h == NULL) return PORTICO_EINVAL;
  if (!h->config.own_loop) return host_fail(h, PORTICO_EINVAL, "the workers drive this host: it has no own_loop");
  if (atomic_load(&h->state) < HOST_STARTED) return host_fail(h, PORTICO_EINVAL, "not started");
  return host_ended(h) ? PORTICO_ECLOSED : host_step(h, timeout_ns < 0 ? PORT_WAIT_FOREVER : timeout_ns);
}

/* In short steps: a signal does not end a wait for packets. */
static int host_drive_to_end(portico_host *h) {
  int ran = 0;
  while (ran >= 0) ran = portico_step(h, host_look_ns);
  return ran == PORTICO_ECLOSED ? 0 : ran; /* uncovered: no memory just here */
}

int portico_wait(portico_host *h, int *out_exit_code) {
  if (h == NULL) return PORTICO_EINVAL;
  if (atomic_load(&h->state) < HOST_STARTED) return host_fail(h, PORTICO_EINVAL, "not started");
  int err = h->config.own_loop ? host_drive_to_end(h) : host_await_end(h);
  if (err < 0) return err; /* uncovered: as host_await_end */
  if (out_exit_code != NULL) *out_exit_code = atomic_load(&h->rt->exit_code);
  return 0;
}

int portico_hold(portico_host *h, bool hold) {
  if (h == NULL) return PORTICO_EINVAL;
  if (hold) runtime_hold(h->rt); /* before the look: then the end waits for us, or we see it */
  bool closed = hold && runtime_stopping(h->rt);
  bool was_held = !closed && atomic_exchange(&h->held, hold) != 0;
  if (closed || was_held) runtime_release(h->rt); /* one hold at most; none at the end */
  return closed ? PORTICO_ECLOSED : 0;
}

int portico_post(portico_host *h, const char *topic, const void *data, size_t len) {
  if (h == NULL || topic == NULL || (data == NULL && len > 0)) return PORTICO_EINVAL;
  if (atomic_load(&h->state) != HOST_STARTED) return PORTICO_ECLOSED;
  return inbox_post(h->rt, topic, data, len);
}

int portico_drain(portico_host *h, double seconds) {
  if (h == NULL || !(seconds >= 0) || seconds > 1e9) return PORTICO_EINVAL;
  if (atomic_load(&h->state) != HOST_STARTED) return PORTICO_ECLOSED;
  runtime_drain(h->rt, os_clock_now() + (int64_t)(seconds * OS_NS_PER_S));
  return 0;
}

int portico_stop(portico_host *h, int exit_code) {
  if (h == NULL) return PORTICO_EINVAL;
  if (atomic_load(&h->state) != HOST_STARTED) return PORTICO_ECLOSED;
  runtime_stop(h->rt, exit_code);
  return 0;
}

void portico_interrupt(portico_host *h, double grace_seconds) {
  atomic_store(&h->interrupt_grace_ms, (int64_t)(grace_seconds * 1000));
  atomic_fetch_add(&h->interrupts, 1);
  os_event_set(&h->wake);
}
