/* watchdog.h - ends handler calls that use too much processor time.   Layer: vm.
 *
 * A VM that enters Lua only counts up: that costs nothing. One thread per runtime looks from time to time which calls
 * are still the same and reads the processor clock of their worker. Once the budget is spent it interrupts that worker
 * and sets a hook, which raises an error at every instruction until the call is out, so that pcall cannot swallow it.
 * What sits inside a C function cannot be stopped, only reported: a handler that blocks is logged, with blame.
 * Without a budget there is no thread, and nobody looks. */
#ifndef PORTICO_VM_WATCHDOG_H
#define PORTICO_VM_WATCHDOG_H
#include <lua.h>

#include "os/thread.h"
#include "vm/runtime.h"

typedef struct watchdog watchdog;

/* The part of a VM that the watchdog looks at. */
typedef struct watch {
  os_interrupt               interrupt;
  _Atomic uint32_t           calls;   /* odd while a call is in Lua */
  _Atomic uint32_t           overrun; /* the value of calls that is to be ended; 0 = none */
  os_thread_view *_Atomic    worker;  /* who is inside */
  lua_State *_Atomic         running; /* the coroutine that runs right now */
  const char *_Atomic        what, *_Atomic where; /* in whose name: static or as old as the handlers */
  bool                       spent;   /* worker inside only: the hook is set */
  bool                       failed;  /* worker inside only: it has raised an error, and will until the call is out */
  /* watchdog only */
  uint32_t seen_calls;
  unsigned quiet; /* looks without a call */
  int64_t  seen_cpu_ns, seen_ns;
  bool     blamed;
} watch;

/* errors: ENOMEM, EAGAIN */
int  watchdog_open(runtime *rt, watchdog **out_dog);
void watchdog_close(watchdog *dog); /* no worker left */

/* Keeps it from looking, so that what `where` points to can be freed. Short; nothing else is locked inside. */
void watchdog_lock(watchdog *dog);
void watchdog_unlock(watchdog *dog);

/* A worker that will enter VMs announces itself, and leaves before its thread ends.
 * result   false: it had done so already, and whoever did will leave */
bool watchdog_join(void);
void watchdog_leave(watchdog *dog);

/* Makes a watch with no call in it. */
void watch_init(watch *w);

/* Says on the worker what the calls to come are: for all until the next watch_name. */
void watch_name(watch *w, lua_State *L, const char *what, const char *where);

/* Around each call into Lua, on the worker. leave takes the hook away if there was one: true if the call was ended. */
void watch_enter(watchdog *dog, watch *w);
bool watch_leave(watch *w, lua_State *L);

/* Sets the hook that raises errors on the running coroutine: also how the memory cap ends a call. */
void watch_raise(watch *w);

/* Hands the hook on when a coroutine ends or begins: `from` ran, `to` runs now. */
void watch_switch(watch *w, lua_State *from, lua_State *to);

#endif
