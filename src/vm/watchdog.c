/* watchdog.c - the thread that looks, the interrupt, the hook. */
#include "vm/watchdog.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "vm/vm.h"

enum {
  WATCHDOG_LOOKS = 8,       /* per budget */
  WATCHDOG_QUIET_LOOKS = 3, /* without a call, until a VM is at rest */
  WATCHDOG_IDLE_LOOKS = 4,  /* without a call in any VM, until it sleeps for good */
};
static const int64_t watchdog_look_min_ns = 5 * OS_NS_PER_MS;
static const int64_t watchdog_look_max_ns = 100 * OS_NS_PER_MS;
static const int64_t watchdog_blocked_ns = 5LL * OS_NS_PER_S; /* blocked this long gets a line in the log */

struct watchdog {
  runtime    *rt;
  os_thread   thread;
  bool        blind; /* there is none: fixed after open */
  os_event    event;
  os_mutex    lock;   /* held while it looks at a worker: a worker leaves under it */
  _Atomic int parked; /* sleeps until a call comes */
  _Atomic int stop;
};

static _Thread_local os_thread_view self_view;
static _Thread_local bool           self_joined;

/* ---- the hook, on the worker ---- */

static void watch_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  vm *v = vm_of(L);
  if (v->memory.over && !v->watch.failed) { /* uncovered: race: of garbage and budget, both caps at once */
    lua_gc(L, LUA_GCCOLLECT, 0);
    v->memory.over = v->memory.used > v->memory.soft;
    bool overrun = atomic_load_explicit(&v->watch.overrun, memory_order_relaxed) ==
                   atomic_load_explicit(&v->watch.calls, memory_order_relaxed);
    if (!v->memory.over && !overrun) { /* it was only garbage */
      v->watch.spent = false;
      lua_sethook(L, NULL, 0, 0);
      return;
    }
  }
  v->watch.failed = true;
  if (v->memory.over) luaL_error(L, "memory cap of %d MiB exceeded", (int)(v->memory.soft >> 20));
  luaL_error(L, "time budget of %d ms spent", (int)(v->rt->options.budget_ns / OS_NS_PER_MS));
}

void watch_raise(watch *w) {
  w->spent = true;
  lua_State *L = atomic_load_explicit(&w->running, memory_order_relaxed);
  if (L != NULL) lua_sethook(L, watch_hook, LUA_MASKCOUNT, 1); /* uncovered: race: between two calls */
}

/* Runs in the middle of whatever the worker does: only sets the hook, and only if it is still the same call. */
static void watch_on_interrupt(os_interrupt *i) {
  watch   *w = container_of(i, watch, interrupt);
  uint32_t calls = atomic_load_explicit(&w->calls, memory_order_relaxed);
  bool same = calls == atomic_load_explicit(&w->overrun, memory_order_relaxed);
  if (same) watch_raise(w); /* uncovered: race: it ends just now */
}

void watch_init(watch *w) {
  *w = (watch){.interrupt.run = watch_on_interrupt};
}

void watch_name(watch *w, lua_State *L, const char *what, const char *where) {
  atomic_store_explicit(&w->running, L, memory_order_relaxed);
  atomic_store_explicit(&w->what, what, memory_order_relaxed);
  atomic_store_explicit(&w->where, where, memory_order_relaxed);
  atomic_store_explicit(&w->worker, self_joined ? &self_view : NULL, memory_order_relaxed);
}

void watch_enter(watchdog *dog, watch *w) {
  uint32_t calls = atomic_load_explicit(&w->calls, memory_order_relaxed);
  DCHECK((calls & 1) == 0);
  atomic_store_explicit(&w->calls, calls + 1, memory_order_release);
  if (!atomic_load_explicit(&dog->parked, memory_order_relaxed)) return;
  if (atomic_exchange(&dog->parked, 0) == 1) os_event_set(&dog->event); /* uncovered: race: two VMs wake it at once */
}

bool watch_leave(watch *w, lua_State *L) {
  uint32_t calls = atomic_load_explicit(&w->calls, memory_order_relaxed);
  atomic_store_explicit(&w->calls, calls + 1, memory_order_release);
  atomic_signal_fence(memory_order_seq_cst); /* an interrupt after this finds another call */
  bool spent = w->spent;
  if (spent) {
    w->spent = w->failed = false;
    lua_sethook(L, NULL, 0, 0);
  }
  return spent;
}

void watch_switch(watch *w, lua_State *from, lua_State *to) {
  atomic_store_explicit(&w->running, to, memory_order_relaxed);
  atomic_signal_fence(memory_order_seq_cst); /* an interrupt sees the new one, or was seen here */
  if (!w->spent) return;
  lua_sethook(from, NULL, 0, 0);
  lua_sethook(to, watch_hook, LUA_MASKCOUNT, 1);
}

/* ---- the thread ---- */

static void watchdog_interrupt(watchdog *dog, vm *v, uint32_t calls, const os_thread_view *worker) {
  watch *w = &v->watch;
  atomic_store_explicit(&w->overrun, calls, memory_order_release);
  int err = dog->rt->options.budget_signal < 0
                ? PORTICO_ENOTSUP
                : os_thread_interrupt(worker, dog->rt->options.budget_signal, &w->interrupt);
  if (err == 0 || w->blamed) return;
  w->blamed = true;
  log_write(runtime_log(dog->rt), PORTICO_LOG_ERROR, v->index,
            "%s of %s is over its time budget and cannot be stopped: %s", atomic_load(&w->what),
            atomic_load(&w->where), portico_error_text(err));
}

static void watchdog_report_blocked(watchdog *dog, vm *v, int64_t for_ns) {
  watch *w = &v->watch;
  if (w->blamed || for_ns < watchdog_blocked_ns) return;
  w->blamed = true;
  log_write(runtime_log(dog->rt), PORTICO_LOG_WARN, v->index,
            "%s of %s has been blocked for %d s: it stalls VM %u, the others go on", atomic_load(&w->what),
            atomic_load(&w->where), (int)(for_ns / OS_NS_PER_S), v->index);
}

/* Looks at one VM. True if a call went on in it since the last look. */
static bool watchdog_look(watchdog *dog, vm *v) {
  watch   *w = &v->watch;
  uint32_t calls = atomic_load_explicit(&w->calls, memory_order_acquire);
  bool     moved = calls != w->seen_calls;
  w->seen_calls = calls;
  if ((calls & 1) == 0) {
    w->quiet = moved ? 0 : w->quiet + 1;
    if (w->quiet == WATCHDOG_QUIET_LOOKS) collector_rest(v);
    return moved;
  }
  const os_thread_view *worker = atomic_load_explicit(&w->worker, memory_order_relaxed);
  if (worker == NULL) return true; /* the main chunk: it runs on the caller's thread and has no budget */
  int64_t cpu_ns = os_thread_cpu_ns(worker);
  if (moved) {
    w->seen_cpu_ns = cpu_ns;
    w->seen_ns = os_clock_now();
    w->blamed = false;
    return true;
  }
  int64_t used_ns = cpu_ns - w->seen_cpu_ns;
  if (cpu_ns < 0) used_ns = os_clock_now() - w->seen_ns; /* uncovered: a system that does not tell */
  if (used_ns >= dog->rt->options.budget_ns) watchdog_interrupt(dog, v, calls, worker);
  else watchdog_report_blocked(dog, v, os_clock_now() - w->seen_ns);
  return true;
}

static bool watchdog_look_at_all(watchdog *dog) {
  bool busy = false;
  os_mutex_lock(&dog->lock);
  for (unsigned i = 0; i < dog->rt->options.vms; i++) {
    bool there = dog->rt->vms[i] != NULL; /* uncovered: race: it looks while they are being made */
    if (there && watchdog_look(dog, dog->rt->vms[i])) busy = true; /* uncovered: race: as above */
  }
  os_mutex_unlock(&dog->lock);
  return busy;
}

static void watchdog_body(void *arg) {
  watchdog *dog = arg;
  int64_t   look_ns = dog->rt->options.budget_ns / WATCHDOG_LOOKS;
  if (look_ns < watchdog_look_min_ns) look_ns = watchdog_look_min_ns;
  if (look_ns > watchdog_look_max_ns) look_ns = watchdog_look_max_ns;
  unsigned quiet = 0;
  while (!atomic_load(&dog->stop)) {
    quiet = watchdog_look_at_all(dog) ? 0 : quiet + 1;
    if (quiet < WATCHDOG_IDLE_LOOKS) {
      os_event_wait(&dog->event, look_ns);
      continue;
    }
    /* A call that began before the flag was seen is found by the first look after it. */
    if (quiet == WATCHDOG_IDLE_LOOKS) {
      atomic_store(&dog->parked, 1);
      continue;
    }
    os_event_wait(&dog->event, -1);
    atomic_store(&dog->parked, 0);
    quiet = 0;
  }
}

int watchdog_open(runtime *rt, watchdog **out_dog) {
  watchdog *dog = calloc(1, sizeof *dog);
  if (dog == NULL) return PORTICO_ENOMEM;
  dog->rt = rt;
  int err = os_event_init(&dog->event);
  if (err < 0) goto undo_mem; /* uncovered: an event of this system needs nothing */
  os_mutex_init(&dog->lock);
  dog->blind = rt->options.budget_ns == 0; /* it never parks either, so nobody has to wake it */
  if (!dog->blind) err = os_thread_start(&dog->thread, watchdog_body, dog);
  if (err < 0) goto undo_event;
  *out_dog = dog;
  return 0;
undo_event:
  os_mutex_fini(&dog->lock);
  os_event_fini(&dog->event);
undo_mem:
  free(dog);
  return err;
}

void watchdog_close(watchdog *dog) {
  if (!dog->blind) {
    atomic_store(&dog->stop, 1);
    os_event_set(&dog->event);
    os_thread_join(&dog->thread);
  }
  os_mutex_fini(&dog->lock);
  os_event_fini(&dog->event);
  free(dog);
}

void watchdog_lock(watchdog *dog) {
  os_mutex_lock(&dog->lock);
}

void watchdog_unlock(watchdog *dog) {
  os_mutex_unlock(&dog->lock);
}

bool watchdog_join(void) {
  if (self_joined) return false; /* uncovered: a start in a handler that fails */
  os_thread_view_open(&self_view);
  self_joined = true;
  return true;
}

void watchdog_leave(watchdog *dog) {
  os_mutex_lock(&dog->lock); /* it may be about to interrupt this thread */
  self_joined = false;
  os_thread_view_close(&self_view);
  os_mutex_unlock(&dog->lock);
}
