/* thread_win32.c - thread.h for Windows. */
#include "os/thread.h"

#include <assert.h>
#include <errno.h>
#include <process.h>
#include <stdlib.h>
#include <windows.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/sim_seam.h"

/* ---- mutex ---- */

static_assert(sizeof(SRWLOCK) <= sizeof(os_mutex), "os_mutex has room for a slim lock");

void os_mutex_init(os_mutex *m) {
  InitializeSRWLock((SRWLOCK *)m);
}

void os_mutex_fini(os_mutex *m) {
  CHECK(TryAcquireSRWLockExclusive((SRWLOCK *)m)); /* nothing to free; but nobody may have it any more */
}

void sys_mutex_lock(os_mutex *m) {
  AcquireSRWLockExclusive((SRWLOCK *)m);
}

void sys_mutex_unlock(os_mutex *m) {
  ReleaseSRWLockExclusive((SRWLOCK *)m);
}

void os_mutex_lock(os_mutex *m) {
  if (sim_virtual_here == NULL) {
    sys_mutex_lock(m);
  } else {
    while (!TryAcquireSRWLockExclusive((SRWLOCK *)m)) sim_mutex_wait(m);
  }
}

void os_mutex_unlock(os_mutex *m) {
  sys_mutex_unlock(m);
  if (sim_virtual_here != NULL) sim_mutex_wake(m);
}

/* ---- event ---- */

int os_event_init(os_event *e) {
  e->handle = CreateEventW(NULL, FALSE, FALSE, NULL); /* auto-reset: a wait clears it */
  return e->handle == NULL ? PORTICO_ENOMEM : 0;
}

void os_event_fini(os_event *e) {
  CloseHandle(e->handle);
}

void os_event_set(os_event *e) {
  SetEvent(e->handle);
}

/* Milliseconds that cover ns; what does not fit is waited for in several turns. */
static DWORD event_ms(int64_t ns) {
  int64_t ms = ns / OS_NS_PER_MS + (ns % OS_NS_PER_MS != 0);
  return ms < (int64_t)INFINITE ? (DWORD)ms : INFINITE - 1;
}

bool sys_event_take(os_event *e) {
  return WaitForSingleObject(e->handle, 0) == WAIT_OBJECT_0;
}

void sys_event_await(os_event *e) {
  WaitForSingleObject(e->handle, INFINITE);
}

bool os_event_wait(os_event *e, int64_t timeout_ns) {
  if (sim_virtual_here != NULL) return sim_event_wait(e, timeout_ns);
  if (timeout_ns < 0) return WaitForSingleObject(e->handle, INFINITE) == WAIT_OBJECT_0;
  int64_t now = os_clock_now();
  int64_t end = timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
  for (int64_t left = timeout_ns;; left = end - os_clock_now()) {
    DWORD result = WaitForSingleObject(e->handle, left > 0 ? event_ms(left) : 0);
    if (result != WAIT_TIMEOUT) return result == WAIT_OBJECT_0;
    if (left <= 0) return false; /* timer ticks may end a wait a little early: only the clock decides */
  }
}

/* ---- threads ---- */

typedef struct thread_exit {
  void (*run)(void *arg);
  void *arg;
} thread_exit;

static INIT_ONCE exit_once = INIT_ONCE_STATIC_INIT;
static DWORD     exit_slot = FLS_OUT_OF_INDEXES; /* its callback is how a thread's end is noticed */

static void WINAPI exit_run(void *what) {
  thread_exit e = *(thread_exit *)what;
  free(what);
  e.run(e.arg);
}

static BOOL CALLBACK exit_slot_make(INIT_ONCE *once, void *arg, void **out) {
  (void)once, (void)arg, (void)out;
  exit_slot = FlsAlloc(exit_run);
  return exit_slot != FLS_OUT_OF_INDEXES;
}

int os_thread_at_exit(void (*run)(void *arg), void *arg) {
  if (!InitOnceExecuteOnce(&exit_once, exit_slot_make, NULL, NULL)) return PORTICO_ENOMEM;
  thread_exit *e = FlsGetValue(exit_slot);
  if (e == NULL) {
    e = malloc(sizeof *e);
    if (e == NULL || !FlsSetValue(exit_slot, e)) {
      free(e);
      return PORTICO_ENOMEM;
    }
  }
  *e = (thread_exit){run, arg};
  return 0;
}

/* Does now what the end of the thread would do. */
static void exit_run_now(void) {
  void *what = exit_slot == FLS_OUT_OF_INDEXES ? NULL : FlsGetValue(exit_slot);
  if (what == NULL) return;
  FlsSetValue(exit_slot, NULL);
  exit_run(what);
}

typedef struct thread_start {
  void (*body)(void *arg);
  void       *arg;
  os_sim     *world; /* NULL = none */
  sim_thread *simulated;
} thread_start;

static unsigned __stdcall thread_main(void *arg) {
  thread_start start = *(thread_start *)arg;
  free(arg);
  sim_thread_begin(start.world, start.simulated);
  start.body(start.arg);
  exit_run_now(); /* while it still is in its world */
  sim_thread_end();
  return 0;
}

int os_thread_start(os_thread *t, void (*body)(void *arg), void *arg) {
  thread_start *start = malloc(sizeof *start);
  if (start == NULL) return PORTICO_ENOMEM;
  *start = (thread_start){.body = body, .arg = arg, .world = sim_here, .simulated = sim_thread_make()};
  sim_thread *simulated = start->simulated; /* start is gone as soon as the thread runs */
  t->handle = _beginthreadex(NULL, 0, thread_main, start, 0, NULL);
  sim_thread_made(simulated, t->handle);
  if (t->handle != 0) return 0;
  free(start);
  return errno == EAGAIN ? PORTICO_ELIMIT : PORTICO_ENOMEM;
}

void os_thread_join(os_thread *t) {
  if (sim_virtual_here != NULL) sim_thread_join(t->handle);
  DWORD result = WaitForSingleObject((HANDLE)t->handle, INFINITE);
  CHECK(result == WAIT_OBJECT_0);
  CloseHandle((HANDLE)t->handle);
}

void os_thread_yield(void) {
  if (sim_virtual_here != NULL) sim_thread_yield();
  else SwitchToThread();
}

unsigned os_processors(void) {
  DWORD_PTR ours = 0, all = 0;
  unsigned  count = 0;
  GetProcessAffinityMask(GetCurrentProcess(), &ours, &all);
  for (; ours != 0; ours &= ours - 1) count++;
  if (count == 0) count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS); /* threads in several groups: no mask */
  return count > 0 ? count : 1;
}

/* ---- views ---- */

void os_thread_view_open(os_thread_view *v) {
  *v = (os_thread_view){.clock = -1, .stat = -1};
  if (sim_virtual_here != NULL) {
    v->thread = sim_thread_here();
    v->id = SIM_VIEW_ID;
    return;
  }
  HANDLE self = GetCurrentProcess(), thread = NULL;
  DuplicateHandle(self, GetCurrentThread(), self, &thread, 0, FALSE, DUPLICATE_SAME_ACCESS);
  v->thread = (uintptr_t)thread; /* 0 if there was no room for a handle: then nothing is known */
  v->id = (int32_t)GetCurrentThreadId();
}

void os_thread_view_close(os_thread_view *v) {
  if (v->thread != 0 && v->id != SIM_VIEW_ID) CloseHandle((HANDLE)v->thread);
  v->thread = 0;
}

static int64_t filetime_ns(FILETIME t) {
  return (int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) * 100;
}

int64_t os_thread_cpu_ns(const os_thread_view *v) {
  if (v->id == SIM_VIEW_ID) return sim_thread_ran_ns(v->thread);
  FILETIME created, ended, kernel, user;
  if (v->thread == 0 || !GetThreadTimes((HANDLE)v->thread, &created, &ended, &kernel, &user)) return -1;
  return filetime_ns(kernel) + filetime_ns(user);
}

/* Nothing public tells of a thread of the system; and nobody needs it, for the completion ports of Windows count by
 * themselves. */
bool os_thread_asleep(const os_thread_view *v) {
  return v->id == SIM_VIEW_ID && sim_thread_waits(v->thread);
}

/* ---- interrupts ---- */

int os_thread_interrupt(const os_thread_view *v, int signo, os_interrupt *i) {
  (void)signo;
  /* The one would suspend itself for ever; the other stands still, for it is not its turn. */
  if (v->id == (int32_t)GetCurrentThreadId() || v->id == SIM_VIEW_ID) {
    i->run(i);
    return 0;
  }
  HANDLE thread = (HANDLE)v->thread;
  if (thread == NULL || SuspendThread(thread) == (DWORD)-1) return PORTICO_ENOTFOUND;
  /* SuspendThread only asks; reading the registers waits until the thread stands still. */
  CONTEXT registers = {.ContextFlags = CONTEXT_INTEGER};
  BOOL    still = GetThreadContext(thread, &registers);
  if (still) i->run(i);
  ResumeThread(thread);
  return still ? 0 : PORTICO_ENOTFOUND;
}
