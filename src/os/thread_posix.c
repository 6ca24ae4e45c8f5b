/* thread_posix.c - thread.h for Linux: pthreads, a futex for the event, /proc and a signal to look at other threads. */
#include "os/thread.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/sim_seam.h"
#include "os/socket.h"

/* ---- mutex ---- */

enum { MUTEX_SPINS = 64 }; /* the holder is out again in less time than it takes to fall asleep */

static long thread_futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *until) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

void os_mutex_init(os_mutex *m) {
  atomic_init(&m->state, 0);
}

void os_mutex_fini(os_mutex *m) {
  CHECK(atomic_load_explicit(&m->state, memory_order_relaxed) == 0);
}

/* From here on it is taken as "somebody may sleep": the one who is woken cannot know whether it was the last. */
static bool mutex_take_or_announce(os_mutex *m) {
  return atomic_exchange_explicit(&m->state, 2, memory_order_acquire) == 0;
}

static void mutex_lock_slow(os_mutex *m) {
  for (int i = 0; i < MUTEX_SPINS; i++) {
    uint32_t state = 0;
    if (atomic_load_explicit(&m->state, memory_order_relaxed) == 0 &&
        atomic_compare_exchange_weak_explicit(&m->state, &state, 1, memory_order_acquire, memory_order_relaxed)) {
      return;
    }
  }
  while (!mutex_take_or_announce(m)) thread_futex(&m->state, FUTEX_WAIT_BITSET, 2, NULL);
}

void os_mutex_lock_slow(os_mutex *m) {
  if (sim_virtual_here == NULL) {
    mutex_lock_slow(m);
  } else {
    while (!mutex_take_or_announce(m)) sim_mutex_wait(m);
  }
}

/* The mutex may be gone by now, if it was freed by the next holder: waking a stale address is harmless. */
static void mutex_wake(os_mutex *m) {
  thread_futex(&m->state, FUTEX_WAKE, 1, NULL);
}

void os_mutex_wake(os_mutex *m) {
  mutex_wake(m);
  if (sim_virtual_here != NULL) sim_mutex_wake(m);
}

void sys_mutex_lock(os_mutex *m) {
  uint32_t state = 0;
  if (!atomic_compare_exchange_strong_explicit(&m->state, &state, 1, memory_order_acquire, memory_order_relaxed)) {
    mutex_lock_slow(m);
  }
}

void sys_mutex_unlock(os_mutex *m) {
  if (atomic_exchange_explicit(&m->state, 0, memory_order_release) == 2) mutex_wake(m);
}

/* ---- event ---- */

enum { EVENT_CLEAR, EVENT_SET, EVENT_SLEPT_ON };

static_assert(sizeof(_Atomic uint32_t) == 4, "a futex is a plain 32-bit word");

int os_event_init(os_event *e) {
  atomic_init(&e->state, EVENT_CLEAR);
  return 0;
}

void os_event_fini(os_event *e) {
  CHECK(atomic_load_explicit(&e->state, memory_order_relaxed) != EVENT_SLEPT_ON);
}

/* The wake comes after the state is visible, so the waiter may have gone on and freed the event already: waking a
 * stale address is harmless to the kernel and at worst a spurious wake-up to a stranger. */
void os_event_set(os_event *e) {
  uint32_t before = atomic_exchange_explicit(&e->state, EVENT_SET, memory_order_release);
  if (before == EVENT_SLEPT_ON) thread_futex(&e->state, FUTEX_WAKE, 1, NULL);
}

bool sys_event_take(os_event *e) {
  uint32_t seen = EVENT_SET;
  return atomic_compare_exchange_strong_explicit(&e->state, &seen, EVENT_CLEAR, memory_order_acquire,
                                                 memory_order_relaxed);
}

/* Takes the event if it is set; otherwise leaves word that a thread is about to sleep on it. */
static bool event_take_or_announce(os_event *e) {
  if (sys_event_take(e)) return true;
  uint32_t seen = EVENT_CLEAR;
  atomic_compare_exchange_strong_explicit(&e->state, &seen, EVENT_SLEPT_ON, memory_order_relaxed,
                                          memory_order_relaxed); /* failed: set meanwhile, the futex call sees it */
  return false;
}

/* The moment timeout_ns from now, on the clock that FUTEX_WAIT_BITSET uses. */
static struct timespec event_deadline(int64_t timeout_ns) {
  int64_t now = os_clock_now();
  int64_t due = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
  return (struct timespec){.tv_sec = due / OS_NS_PER_S, .tv_nsec = due % OS_NS_PER_S};
}

static bool event_wait(os_event *e, int64_t timeout_ns) {
  if (event_take_or_announce(e)) return true;
  struct timespec  due;
  struct timespec *until = NULL;
  if (timeout_ns >= 0) {
    due = event_deadline(timeout_ns);
    until = &due;
  }
  do {
    if (thread_futex(&e->state, FUTEX_WAIT_BITSET, EVENT_SLEPT_ON, until) != 0 && errno == ETIMEDOUT) {
      /* A set may have come at the last moment: it counts, or it would be lost. */
      return atomic_exchange_explicit(&e->state, EVENT_CLEAR, memory_order_acquire) == EVENT_SET;
    }
  } while (!event_take_or_announce(e)); /* uncovered: race: a signal or a stranger's wake-up, sleep on */
  return true;
}

bool os_event_wait(os_event *e, int64_t timeout_ns) {
  return sim_virtual_here != NULL ? sim_event_wait(e, timeout_ns) : event_wait(e, timeout_ns);
}

void sys_event_await(os_event *e) {
  event_wait(e, -1);
}

/* ---- threads ---- */

static_assert(sizeof(pthread_t) <= sizeof(uintptr_t), "a pthread_t fits into os_thread");

typedef struct thread_exit {
  void (*run)(void *arg);
  void *arg;
} thread_exit;

static _Thread_local thread_exit exit_here;
static pthread_key_t             exit_key; /* its destructor is how a thread's end is noticed */
static pthread_once_t            exit_once = PTHREAD_ONCE_INIT;

static void exit_run(void *arg) {
  thread_exit *e = arg;
  if (e->run != NULL) e->run(e->arg);
  e->run = NULL;
}

static void exit_key_make(void) {
  CHECK(pthread_key_create(&exit_key, exit_run) == 0);
}

int os_thread_at_exit(void (*run)(void *arg), void *arg) {
  pthread_once(&exit_once, exit_key_make);
  exit_here = (thread_exit){run, arg};
  return os_error(pthread_setspecific(exit_key, &exit_here));
}

typedef struct thread_start {
  void (*body)(void *arg);
  void       *arg;
  os_sim     *world; /* NULL = none */
  sim_thread *simulated;
} thread_start;

static void *thread_main(void *arg) {
  thread_start start = *(thread_start *)arg;
  free(arg);
  sim_thread_begin(start.world, start.simulated);
  start.body(start.arg);
  exit_run(&exit_here); /* while it still is in its world */
  sim_thread_end();
  return NULL;
}

int os_thread_start(os_thread *t, void (*body)(void *arg), void *arg) {
  thread_start *start = malloc(sizeof *start);
  if (start == NULL) return PORTICO_ENOMEM;
  *start = (thread_start){.body = body, .arg = arg, .world = sim_here, .simulated = sim_thread_make()};
  sim_thread *simulated = start->simulated; /* start is gone as soon as the thread runs */
  pthread_t   thread;
  int         err = pthread_create(&thread, NULL, thread_main, start);
  sim_thread_made(simulated, err == 0 ? (uintptr_t)thread : 0);
  if (err != 0) {
    free(start);
    return err == EAGAIN ? PORTICO_ELIMIT : os_error(err);
  }
  t->handle = (uintptr_t)thread;
  return 0;
}

void os_thread_join(os_thread *t) {
  if (sim_virtual_here != NULL) sim_thread_join(t->handle);
  int err = pthread_join((pthread_t)t->handle, NULL);
  CHECK(err == 0);
}

void os_thread_yield(void) {
  if (sim_virtual_here != NULL) sim_thread_yield();
  else sched_yield();
}

unsigned os_processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return (unsigned)CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN); /* more than 1024 processors: the set is too small for them */
  return online > 0 ? (unsigned)online : 1; /* uncovered: the system knows how many are online */
}

/* ---- views ---- */

void os_thread_view_open(os_thread_view *v) {
  *v = (os_thread_view){.clock = -1, .stat = -1};
  if (sim_virtual_here != NULL) {
    v->thread = sim_thread_here();
    v->id = SIM_VIEW_ID;
    return;
  }
  char      path[64];
  clockid_t clock;
  v->thread = (uintptr_t)pthread_self();
  v->id = (int32_t)syscall(SYS_gettid);
  if (pthread_getcpuclockid(pthread_self(), &clock) == 0) v->clock = (int32_t)clock; /* uncovered: it always is */
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)v->id);
  v->stat = open(path, O_RDONLY | O_CLOEXEC);
}

void os_thread_view_close(os_thread_view *v) {
  if (v->stat >= 0) close(v->stat);
  v->stat = -1;
}

int64_t os_thread_cpu_ns(const os_thread_view *v) {
  if (v->id == SIM_VIEW_ID) return sim_thread_ran_ns(v->thread);
  struct timespec t;
  if (v->clock == -1) return -1; /* uncovered: every thread has a clock */
  if (clock_gettime((clockid_t)v->clock, &t) != 0) return -1; /* the thread has gone */
  return (int64_t)t.tv_sec * OS_NS_PER_S + t.tv_nsec;
}

bool os_thread_asleep(const os_thread_view *v) {
  if (v->id == SIM_VIEW_ID) return sim_thread_waits(v->thread);
  char    text[256];
  ssize_t len = v->stat < 0 ? -1 : pread(v->stat, text, sizeof text - 1, 0); /* uncovered: a system without /proc */
  if (len <= 0) return false; /* no /proc, or the thread has gone */
  text[len] = '\0';
  const char *name_end = strrchr(text, ')'); /* the last one: a thread's name may hold any character */
  if (name_end == NULL || name_end[1] != ' ' || name_end[2] == '\0') return false; /* uncovered: it always looks so */
  return strchr("SDTt", name_end[2]) != NULL; /* R means runs or waits for a processor only */
}

/* ---- interrupts ---- */

static pthread_mutex_t interrupt_lock = PTHREAD_MUTEX_INITIALIZER; /* two threads may claim a signal at once */

/* The language does not know that a signal carries memory with it from thread to thread; this makes it say so. */
static _Atomic unsigned interrupts_sent;

static void interrupt_on_signal(int signo, siginfo_t *info, void *context) {
  (void)signo;
  (void)context;
  /* Only what this process queued carries a pointer of ours; anybody may send a bare signal. */
  if (info->si_code != SI_QUEUE || info->si_pid != getpid()) return;
  int saved = errno;
  (void)atomic_load_explicit(&interrupts_sent, memory_order_acquire);
  os_interrupt *i = info->si_value.sival_ptr;
  i->run(i);
  errno = saved;
}

static int interrupt_claim_locked(int signo) {
  struct sigaction action;
  if (sigaction(signo, NULL, &action) != 0) return PORTICO_EINVAL;
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    return action.sa_sigaction == interrupt_on_signal ? 0 : PORTICO_EBUSY;
  }
  if (action.sa_handler != SIG_DFL) return PORTICO_EBUSY;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = interrupt_on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  return sigaction(signo, &action, NULL) == 0 ? 0 : PORTICO_EINVAL;
}

/* Asked anew each time, not remembered: the program may have taken the signal back since. */
static int interrupt_claim(int signo) {
  pthread_mutex_lock(&interrupt_lock);
  int err = interrupt_claim_locked(signo);
  pthread_mutex_unlock(&interrupt_lock);
  return err;
}

int os_thread_interrupt(const os_thread_view *v, int signo, os_interrupt *i) {
  if (v->id == SIM_VIEW_ID) { /* it stands still: it is not its turn */
    i->run(i);
    return 0;
  }
  if (signo == 0) signo = SIGRTMAX - 3;
  int err = interrupt_claim(signo);
  if (err < 0) return err;
  atomic_fetch_add_explicit(&interrupts_sent, 1, memory_order_release);
  return os_error(pthread_sigqueue((pthread_t)v->thread, signo, (union sigval){.sival_ptr = i}));
}
