/* vm.h - one Lua state with its strand, limits and the way into it.   Layer: vm.
 *
 * Stack of the main state while nothing runs: [1] the function that adds a traceback to errors, [2] the table of
 * connection objects by slot index. Every call from C into Lua is protected: by vm_call, or many on_data by one
 * connection_deliver. */
#ifndef PORTICO_VM_VM_H
#define PORTICO_VM_VM_H
#include <lua.h>

#include "base/blocks.h"
#include "base/slots.h"
#include "net/stream.h"
#include "vm/collector.h"
#include "vm/runtime.h"
#include "vm/watchdog.h"

enum { VM_TRACEBACK = 1, VM_OBJECTS = 2 }; /* stack indices, see above */

/* Which handlers a VM gave to a listener or connect; see handlers.h. */
typedef struct handlers handlers;

/* Memory of one state; touched by the worker inside. */
typedef struct vm_memory {
  size_t used, soft, hard; /* above soft the handler is ended with an error, above hard there is nothing */
  blocks blocks;           /* freed ones, for reuse; not counted in used */
  bool   over;             /* soft was passed: errors are raised until the call is out */
} vm_memory;

struct vm {
  strand      strand;
  turn        turn;
  runtime    *rt;
  unsigned    index; /* 1-based */
  lua_State  *L;
  vm_memory   memory;
  collector   collector;
  watch       watch; /* for the time budget */
  slots       connections, timers;
  struct inbox *inbox;
  handlers   *handlers; /* all that exist */
  struct connection *receiver; /* whose on_data runs, or raised the error; NULL = no on_data runs */
  completion  sweep[2];    /* close all, abort all: posted once each */
  _Atomic int sweep_posted[2];
  unsigned char  apart[RUNTIME_LINE_BYTES]; /* from what the VM writes with each message */
  _Atomic size_t assigned; /* connections given to this VM: how the control strand chooses the next one's */
};

/* Makes VM number index (1-based) of rt, with libraries and the portico module, no script yet. errors: ENOMEM */
int  vm_open(runtime *rt, unsigned index, vm **out_vm);
void vm_close(vm *v);

/* The VM that a state belongs to. */
vm *vm_of(lua_State *L);

/* Compiles text[0..len) (Lua source, never bytecode) and leaves the function on the stack, or the message.
 * result   0, ESCRIPT */
int vm_load(vm *v, const char *text, size_t len, const char *chunk_name);

/* Runs the main chunk that vm_load left on the stack with its arguments (also as the global `arg`, arg[0] = name),
 * then settles what it started.
 * result   0; ESCRIPT: the message with traceback is on the stack, take it with vm_take_message */
int vm_run_main(vm *v, const char *name, int argc, const char *const *argv);

/* Copies the message on top of the stack (NULL if out of memory; free() it) and pops it. */
char *vm_take_message(vm *v);

/* Calls what is on the main stack: a function and `args` arguments; results are dropped. An error is logged with a
 * traceback; `what` and `where` say in whose name ("on_data" of "tcp://...") and live as long as the VM.
 * result   0; ESCRIPT. The stack is as before the function was pushed, either way */
int vm_call(vm *v, int args, const char *what, const char *where);

/* Tells the watchdog what the calls of handlers to come are; `what` and `where` as for vm_call. */
void vm_name_calls(vm *v, const char *what, const char *where);

/* Bracket each call of a handler, for the watchdog: what a call that was ended has held is collected in vm_leave. */
void vm_enter(vm *v);
void vm_leave(vm *v);

/* Logs the error on top of the main stack in the name of `what` and `where`, and pops it. */
void vm_log_error(vm *v, const char *what, const char *where);

/* Begins a bracket around a call that may block, see port_block_enter: what the handlers of this turn have sent so far
 * leaves first. port_block_leave ends it. */
void vm_block_enter(vm *v);

/* The string argument `arg`, an address: a zero byte, behind which nobody would look, is an error. */
const char *vm_check_url(lua_State *L, int arg);

/* Pushes nil, message, code name: how API functions fail. text may be NULL for the code's own words. result: 3 */
int vm_push_error(lua_State *L, int err, const char *text);

/* Ends all connections after what is queued; abort: now, and all timers too. Once each. threads: any */
void vm_sweep(vm *v, bool abort);

/* Replaces libraries' doors that do not fit in here: see sandbox.c. Called once with the libraries loaded. */
void vm_open_libraries(vm *v);

/* Opens the portico module and leaves its table on the stack (a lua_CFunction for require). */
int vm_open_module(lua_State *L);

/* coroutine.resume and wrap that keep the watchdog informed which coroutine runs; see coroutines.c. */
void vm_open_coroutines(lua_State *L);

#endif
