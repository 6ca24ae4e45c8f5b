/* thread.h - threads, mutexes, events, and what one thread may learn of another.   Layer: os. */
#ifndef PORTICO_OS_THREAD_H
#define PORTICO_OS_THREAD_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct os_thread {
  uintptr_t handle;
} os_thread;

/* ---- mutexes ---- */

/* Not recursive. On Linux a futex: 4 bytes, since every connection has one, and two instructions that matter when
 * nobody else is there, since every message takes several. */
typedef struct os_mutex {
#ifdef _WIN32
  void *opaque;
#else
  _Atomic uint32_t state; /* 0 free, 1 held, 2 held and somebody may sleep on it */
#endif
} os_mutex;

/* Makes a free mutex; ends one that is free. Neither can fail. */
void os_mutex_init(os_mutex *m);
void os_mutex_fini(os_mutex *m);

#ifdef _WIN32
/* Waits until the mutex is free and takes it; gives it back. */
void os_mutex_lock(os_mutex *m);
void os_mutex_unlock(os_mutex *m);
#else
/* The parts of lock and unlock for when others want the mutex, too. */
void os_mutex_lock_slow(os_mutex *m);
void os_mutex_wake(os_mutex *m);

/* Waits until the mutex is free and takes it. */
static inline void os_mutex_lock(os_mutex *m) {
  uint32_t state = 0;
  if (!atomic_compare_exchange_strong_explicit(&m->state, &state, 1, memory_order_acquire, memory_order_relaxed)) {
    os_mutex_lock_slow(m);
  }
}

/* Gives it back; by the thread that took it. */
static inline void os_mutex_unlock(os_mutex *m) {
  if (atomic_exchange_explicit(&m->state, 0, memory_order_release) == 2) os_mutex_wake(m);
}
#endif

/* An event that one thread waits for and any thread sets; a set before the wait is not lost, several count once. */
typedef struct os_event {
#ifdef _WIN32
  void *handle;
#else
  _Atomic uint32_t state; /* 0 clear, 1 set, 2 a thread sleeps on it */
#endif
} os_event;

/* errors   ENOMEM (Windows only) */
int  os_event_init(os_event *e);
void os_event_fini(os_event *e);

/* Sets the event and wakes its waiter. threads: any, and async-signal-safe. */
void os_event_set(os_event *e);

/* Waits until the event is set and clears it. timeout_ns < 0 = for ever; never ends early.
 * result   true if it was set, false on time-out */
bool os_event_wait(os_event *e, int64_t timeout_ns);

/* Starts a thread that runs body(arg).
 * errors   ENOMEM, ELIMIT (too many threads, or no memory for one) */
int os_thread_start(os_thread *t, void (*body)(void *arg), void *arg);

/* Waits for its end and frees it. */
void os_thread_join(os_thread *t);

/* Has run(arg) called when the calling thread ends, by itself or with a return; not at the end of the program. There is
 * one such function per thread, the last one given.
 * errors   ENOMEM */
int os_thread_at_exit(void (*run)(void *arg), void *arg);

/* Gives the rest of the time slice away. */
void os_thread_yield(void);

/* The processors this process may use (the affinity mask counts), at least 1. */
unsigned os_processors(void);

/* ---- looking at other threads: for monitor and watchdog ---- */

/* Names a running thread for others to look at. Opened by the thread itself, closed by it before it exits. */
typedef struct os_thread_view {
  uintptr_t thread; /* pthread_t, or a Windows handle */
  int32_t   id;     /* kernel thread id */
  int32_t   clock;  /* POSIX: the clock that counts its processor time */
  int32_t   stat;   /* Linux: descriptor of its /proc stat file, -1 where there is none */
} os_thread_view;

/* Opens the view of the calling thread. Cannot fail: what the system lacks is answered as "unknown" below. */
void os_thread_view_open(os_thread_view *v);
void os_thread_view_close(os_thread_view *v);

/* Processor time that the thread has used, ns; -1 = unknown. */
int64_t os_thread_cpu_ns(const os_thread_view *v);

#ifdef _WIN32
enum { OS_THREAD_TELLS_SLEEP = 0 }; /* nobody knows */
#else
enum { OS_THREAD_TELLS_SLEEP = 1 };
#endif

/* True if the thread sleeps in the kernel (not merely waits for a processor); false if it runs or nobody knows. */
bool os_thread_asleep(const os_thread_view *v);

/* Something to run on a thread in the middle of whatever it does. Must stay valid for the life of that thread. */
typedef struct os_interrupt {
  void (*run)(struct os_interrupt *self); /* may only do what a signal handler may */
} os_interrupt;

/* Stops the thread where it is and runs i->run while it stands still: on POSIX in a handler for signal signo on that
 * thread (so maybe a little after the return), on Windows on the caller's thread while the other is suspended.
 * signo    0 = SIGRTMAX - 3 (ignored on Windows). Claimed by the first call; it must be at its default then.
 * errors   EBUSY (the program uses that signal itself), ENOTFOUND (the thread is gone), EAGAIN (too many signals are
 *          queued), EINVAL */
int os_thread_interrupt(const os_thread_view *v, int signo, os_interrupt *i);

#endif
