/* timer.c - a function that runs later, once or again and again. It goes on when its Lua object is collected; cancel
 * ends it. */
#include "vm/timer.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"

static const char timer_type[] = "portico.Timer";

static const lua_Number timer_seconds_max = 3e9; /* 95 years: keeps nanoseconds inside 63 bits */

typedef struct timer {
  completion c;
  vm        *vm;
  slot_id    id;
  int        call;      /* registry reference to a table {n = arguments, function, arguments...} */
  int64_t    due_ns;
  int64_t    period_ns; /* 0 = once */
  bool       canceled;
} timer;

static void timer_free(timer *t) {
  vm *v = t->vm;
  luaL_unref(v->L, LUA_REGISTRYINDEX, t->call);
  slots_remove(&v->timers, t->id);
  free(t);
  runtime_release(v->rt);
}

/* Runs protected: (table of the call). */
static int timer_call(lua_State *L) {
  lua_getfield(L, 1, "n");
  lua_Integer n = lua_tointeger(L, -1);
  luaL_checkstack(L, (int)n, "too many arguments");
  for (lua_Integer i = 1; i <= n; i++) lua_rawgeti(L, 1, i);
  lua_call(L, (int)n - 1, 0);
  return 0;
}

/* The next moment of a repeated timer: on the beat; beats that were missed are left out. */
static int64_t timer_next_due(const timer *t) {
  int64_t now = os_clock_now();
  int64_t next = t->due_ns + t->period_ns;
  return next > now ? next : now + t->period_ns - (now - t->due_ns) % t->period_ns;
}

static void timer_on_due(completion *c) {
  timer *t = (timer *)c;
  if (c->err < 0 || t->canceled) {
    timer_free(t);
    return;
  }
  vm *v = t->vm;
  lua_pushcfunction(v->L, timer_call);
  lua_rawgeti(v->L, LUA_REGISTRYINDEX, t->call);
  vm_call(v, 1, "function", t->period_ns > 0 ? "portico.every" : "portico.after"); /* after an error the beat goes on */
  bool again = t->period_ns > 0 && !t->canceled && !runtime_stopping(v->rt);
  if (again) {
    t->due_ns = timer_next_due(t);
    again = port_timer(v->rt->options.port, &t->c.op, &v->strand, t->due_ns) == 0;
  }
  if (!again) timer_free(t);
}

static int timer_cancel_now(timer *t) {
  if (t->canceled) return PORTICO_ECLOSED;
  t->canceled = true;
  port_cancel(&t->c.op); /* or its packet is on the way already: then it finds the flag */
  return 0;
}

void timer_sweep(vm *v) {
  for (uint32_t i = 0; i < v->timers.used; i++) {
    timer *t = slots_at(&v->timers, i);
    if (t != NULL) timer_cancel_now(t);
  }
}

/* Starts the timer and gives its slot to the userdata. */
static int timer_start(vm *v, int call, int64_t delay_ns, int64_t period_ns, slot_id *out_id) {
  timer *t = calloc(1, sizeof *t);
  if (t == NULL) return PORTICO_ENOMEM;
  *t = (timer){.c.run = timer_on_due, .vm = v, .call = call, .period_ns = period_ns};
  t->due_ns = os_clock_now() + delay_ns;
  int err = slots_add(&v->timers, t, &t->id);
  if (err < 0) goto undo_mem;
  *out_id = t->id;
  runtime_hold(v->rt);
  err = port_timer(v->rt->options.port, &t->c.op, &v->strand, t->due_ns);
  if (err == 0) return 0;
  runtime_release(v->rt);
  slots_remove(&v->timers, t->id);
undo_mem:
  free(t);
  return err;
}

static int timer_new(lua_State *L, bool repeat) {
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_argcheck(L, seconds >= 0 && seconds <= timer_seconds_max, 1, "seconds out of range (0 to 3e9)");
  luaL_argcheck(L, !repeat || seconds >= 1e-6, 1, "a repeated timer needs at least a microsecond");
  vm *v = vm_of(L);
  if (runtime_stopping(v->rt)) return vm_push_error(L, PORTICO_ECLOSED, "the program is stopping");
  int n = lua_gettop(L) - 1;
  lua_createtable(L, n, 1);
  lua_insert(L, 2); /* seconds, table, function, arguments */
  for (int i = n; i >= 1; i--) lua_rawseti(L, 2, i);
  lua_pushinteger(L, n);
  lua_setfield(L, 2, "n");
  slot_id *id = lua_newuserdatauv(L, sizeof *id, 0);
  *id = SLOT_NONE;
  luaL_setmetatable(L, timer_type);
  lua_pushvalue(L, 2);
  int     call = luaL_ref(L, LUA_REGISTRYINDEX); /* nothing below raises an error */
  int64_t ns = (int64_t)(seconds * OS_NS_PER_S);
  int     err = timer_start(v, call, ns, repeat ? ns : 0, id);
  if (err == 0) return 1;
  luaL_unref(L, LUA_REGISTRYINDEX, call);
  return vm_push_error(L, err, NULL);
}

int timer_after(lua_State *L) {
  return timer_new(L, false);
}

int timer_every(lua_State *L) {
  return timer_new(L, true);
}

/* timer:cancel() -> true | nil, message, code */
static int timer_cancel(lua_State *L) {
  slot_id *id = luaL_checkudata(L, 1, timer_type);
  timer   *t = slots_find(&vm_of(L)->timers, *id);
  int      err = t == NULL ? PORTICO_ECLOSED : timer_cancel_now(t);
  if (err < 0) return vm_push_error(L, err, "the timer is over or cancelled already");
  lua_pushboolean(L, 1);
  return 1;
}

void timer_open_type(lua_State *L) {
  static const luaL_Reg methods[] = {{"cancel", timer_cancel}, {NULL, NULL}};
  luaL_newmetatable(L, timer_type);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
