/* vm.c - a Lua state: memory cap, tracebacks, the trampoline. */
#include "vm/vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "vm/connection.h"
#include "vm/handlers.h"
#include "vm/inbox.h"
#include "vm/timer.h"

enum { VM_KEEP_BYTES = 256 * 1024 };             /* of freed small blocks, beside half of what is in use */

/* ---- memory ---- */

/* How many freed bytes may wait for the next small object: a handler makes and drops a few for each message, and the
 * collector gives them back in heaps. */
static size_t vm_keep(const vm *v) {
#ifdef __SANITIZE_ADDRESS__
  (void)v;
  return 0; /* it has to see each free */
#else
  return VM_KEEP_BYTES + v->memory.used / 2;
#endif
}

/* Above the soft cap the running call is ended with an ordinary error as soon as it is back at an instruction; only far
 * above it is memory refused, which Lua survives less well.
 * result   false: refused */
static bool vm_exceed(vm *v, size_t used) {
  if (used > v->memory.hard) return false;
  if (!v->memory.over) {
    v->memory.over = true;
    watch_raise(&v->watch);
  }
  return true;
}

/* Not inlined: what comes with every message would save its registers, too. */
__attribute__((noinline)) static void *vm_resize(vm *v, void *block, size_t old_bytes, size_t new_bytes) {
  size_t used = v->memory.used - old_bytes + new_bytes;
  if (used > v->memory.soft && new_bytes > old_bytes && !vm_exceed(v, used)) return NULL; /* uncovered: half a cap */
  void *moved = blocks_resize(&v->memory.blocks, block, old_bytes, new_bytes, vm_keep(v));
  if (moved != NULL) v->memory.used = used;
  return moved;
}

/* The allocator of the state: counts what it holds. */
static void *vm_allocate(void *arg, void *block, size_t old_bytes, size_t new_bytes) {
  vm *v = arg;
  if (block != NULL && new_bytes > 0) return vm_resize(v, block, old_bytes, new_bytes);
  if (new_bytes > 0) { /* old_bytes is a type tag */
    size_t used = v->memory.used + new_bytes;
    if (used > v->memory.soft && !vm_exceed(v, used)) return NULL;
    void *made = blocks_new(&v->memory.blocks, new_bytes);
    if (made != NULL) v->memory.used = used;
    return made;
  }
  if (block == NULL) return NULL;
  v->memory.used -= old_bytes;
  blocks_free(&v->memory.blocks, block, old_bytes, vm_keep(v));
  return NULL;
}

/* ---- errors ---- */

/* Turns any error value into a string with a traceback; keeps the text of tables and userdata that know how. */
static int vm_traceback(lua_State *L) {
  const char *text = lua_tostring(L, 1);
  if (text == NULL && luaL_callmeta(L, 1, "__tostring") && lua_isstring(L, -1)) text = lua_tostring(L, -1);
  if (text == NULL) text = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  luaL_traceback(L, L, text, 1);
  return 1;
}

int vm_push_error(lua_State *L, int err, const char *text) {
  lua_pushnil(L);
  lua_pushstring(L, text != NULL ? text : portico_error_text(err));
  lua_pushstring(L, portico_error_name(err));
  return 3;
}

const char *vm_check_url(lua_State *L, int arg) {
  size_t      len;
  const char *url = luaL_checklstring(L, arg, &len);
  luaL_argcheck(L, strlen(url) == len, arg, "an address has no zero byte");
  return url;
}

char *vm_take_message(vm *v) {
  size_t      len;
  const char *text = lua_tolstring(v->L, -1, &len);
  char       *copy = text != NULL ? malloc(len + 1) : NULL; /* uncovered: no memory for a traceback just here */
  if (copy != NULL) memcpy(copy, text, len + 1);
  lua_pop(v->L, 1);
  return copy;
}

/* ---- the way in ---- */

void vm_name_calls(vm *v, const char *what, const char *where) {
  watch_name(&v->watch, v->L, what, where);
}

void vm_enter(vm *v) {
  watch_enter(v->rt->watchdog, &v->watch);
}

void vm_leave(vm *v) {
  if (!watch_leave(&v->watch, v->L) || !v->memory.over) return;
  lua_gc(v->L, LUA_GCCOLLECT, 0); /* what the ended call held is garbage now */
  blocks_drop(&v->memory.blocks);
  v->memory.over = false;
}

/* result   0; ESCRIPT: the message is on the stack */
static int vm_run(vm *v, int args, const char *what, const char *where) {
  vm_name_calls(v, what, where);
  vm_enter(v);
  int status = lua_pcall(v->L, args, 0, VM_TRACEBACK);
  vm_leave(v);
  return status == LUA_OK ? 0 : PORTICO_ESCRIPT;
}

void vm_block_enter(vm *v) {
  turn_flush(&v->turn);
  port_block_enter();
}

void vm_log_error(vm *v, const char *what, const char *where) {
  const char *text = lua_tostring(v->L, -1);
  if (text == NULL) text = "?"; /* uncovered: no memory for a traceback just here */
  log_write(runtime_log(v->rt), PORTICO_LOG_ERROR, v->index, "%s of %s: %s", what, where, text);
  lua_pop(v->L, 1);
}

int vm_call(vm *v, int args, const char *what, const char *where) {
  int err = vm_run(v, args, what, where);
  if (err < 0) vm_log_error(v, what, where);
  return err;
}

int vm_load(vm *v, const char *text, size_t len, const char *chunk_name) {
  /* A first line "#!..." is for the shell; leaving the new line keeps the numbers right. */
  if (len > 0 && text[0] == '#') {
    const char *line = memchr(text, '\n', len);
    len -= line != NULL ? (size_t)(line - text) : len;
    text = line != NULL ? line : "";
  }
  return luaL_loadbufferx(v->L, text, len, chunk_name, "t") == LUA_OK ? 0 : PORTICO_ESCRIPT;
}

static void vm_set_arg(lua_State *L, const char *name, int argc, const char *const *argv) {
  lua_createtable(L, argc, 1);
  lua_pushstring(L, name);
  lua_rawseti(L, -2, 0);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setglobal(L, "arg");
}

/* Strings of the caller, for vm_start_main. */
typedef struct vm_main {
  const char        *name;
  int                argc;
  const char *const *argv;
} vm_main;

/* Runs protected: (chunk, vm_main). */
static int vm_start_main(lua_State *L) {
  const vm_main *m = lua_touserdata(L, 2);
  vm_set_arg(L, m->name, m->argc, m->argv);
  lua_settop(L, 1);
  luaL_checkstack(L, m->argc, "too many arguments");
  for (int i = 0; i < m->argc; i++) lua_pushstring(L, m->argv[i]);
  lua_call(L, m->argc, 0);
  return 0;
}

int vm_run_main(vm *v, const char *name, int argc, const char *const *argv) {
  vm_main m = {.name = name, .argc = argc, .argv = argv};
  lua_pushcfunction(v->L, vm_start_main);
  lua_insert(v->L, -2);
  lua_pushlightuserdata(v->L, &m);
  int err = vm_run(v, 2, "main chunk", name);
  turn_end(&v->turn);
  port_flush(v->turn.port); /* this thread does not come back to the port */
  return err;
}

/* ---- life cycle ---- */

vm *vm_of(lua_State *L) {
  return *(vm **)lua_getextraspace(L);
}

static void vm_after_turn(strand *s) {
  vm *v = container_of(s, vm, strand);
  turn_end(&v->turn);
  collector_after_turn(v);
}

/* Runs protected: fills an empty state. */
static int vm_furnish(lua_State *L) {
  vm *v = lua_touserdata(L, 1);
  collector_init(v);
  luaL_openlibs(L);
  vm_open_libraries(v);
  vm_open_coroutines(L);
  luaL_requiref(L, "portico", vm_open_module, 0);
  return 0;
}

static int vm_new_state(vm *v) {
  v->L = lua_newstate(vm_allocate, v);
  if (v->L == NULL) return PORTICO_ENOMEM;
  *(vm **)lua_getextraspace(v->L) = v; /* new coroutines get a copy */
  lua_pushcfunction(v->L, vm_furnish);
  lua_pushlightuserdata(v->L, v);
  if (lua_pcall(v->L, 1, 0, 0) != LUA_OK) return PORTICO_ENOMEM;
  lua_pushcfunction(v->L, vm_traceback);
  connection_push_objects(v->L);
  return 0;
}

int vm_open(runtime *rt, unsigned index, vm **out_vm) {
  vm *v = calloc(1, sizeof *v);
  if (v == NULL) return PORTICO_ENOMEM;
  v->rt = rt;
  v->index = index;
  v->memory.soft = rt->options.memory_bytes;
  v->memory.hard = v->memory.soft + v->memory.soft / 4;
  v->turn.port = rt->options.port;
  v->turn.key = &v->strand;
  v->turn.deliver = connection_deliver;
  watch_init(&v->watch);
  strand_init(&v->strand, rt->options.port, vm_after_turn);
  int err = inbox_open(v);
  if (err == 0) err = vm_new_state(v);
  if (err < 0) vm_close(v);
  else *out_vm = v;
  return err;
}

void vm_close(vm *v) {
  CHECK(v->connections.count == 0 && v->timers.count == 0 && v->turn.dirty == NULL);
  if (v->L != NULL) lua_close(v->L);
  blocks_drop(&v->memory.blocks);
  handlers_free_all(v);
  inbox_close(v);
  slots_fini(&v->connections);
  slots_fini(&v->timers);
  turn_fini(&v->turn);
  strand_fini(&v->strand);
  free(v);
}

/* ---- the end of a program ---- */

static void vm_sweep_now(vm *v, bool abort) {
  connection_sweep(v, abort);
  if (abort) timer_sweep(v);
  runtime_release(v->rt);
}

static void vm_on_close_all(completion *c) {
  vm_sweep_now(container_of(c, vm, sweep[0]), false);
}

static void vm_on_abort_all(completion *c) {
  vm_sweep_now(container_of(c, vm, sweep[1]), true);
}

void vm_sweep(vm *v, bool abort) {
  if (atomic_exchange(&v->sweep_posted[abort], 1) != 0) return;
  v->sweep[abort].run = abort ? vm_on_abort_all : vm_on_close_all;
  runtime_hold(v->rt);
  strand_post(&v->strand, &v->sweep[abort]);
}
