/* timer.c - a function that runs later, once or again and again. It goes on when its Lua object is collected; cancel
 * ends it. */
#include "vm/timer.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"

static const char timer_type[] = "portico.Timer";

/* What the timers of a VM call is in one table of its registry, under this address: for the timer with index i of
 * `timers`, TIMER_VALUES values from i * TIMER_VALUES + 1 on. They are the function and its arguments, or, with more
 * arguments, a table of all; what is not used is false, since a table with holes would be no array. A table for each
 * timer would be garbage for the collector and a stop on its way. */
static const char timer_calls;
enum { TIMER_VALUES = 3 };

static const lua_Number timer_seconds_max = 3e9; /* 95 years: keeps nanoseconds inside 63 bits */

typedef struct timer {
  completion c;
  vm        *vm;
  slot_id    id;
  int        values;    /* the function and its arguments; more than TIMER_VALUES: they are in a table */
  int64_t    due_ns;
  int64_t    period_ns; /* 0 = once */
  bool       canceled;
} timer;

/* Index in timer_calls of the first value. */
static lua_Integer timer_first(uint32_t index) {
  return (lua_Integer)index * TIMER_VALUES + 1;
}

static void timer_free(timer *t) {
  vm        *v = t->vm;
  lua_State *L = v->L;
  int        used = t->values > TIMER_VALUES ? 1 : t->values;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &timer_calls);
  int calls = lua_gettop(L);
  for (int i = 0; i < used; i++) {
    /* Only what the collector would keep alive. Such a value is there, so setting it needs no memory; a nil may not. */
    lua_Integer at = timer_first(slot_index(t->id)) + i;
    int         type = lua_rawgeti(L, calls, at);
    if (type == LUA_TNIL || type == LUA_TBOOLEAN || type == LUA_TNUMBER) continue;
    lua_pushboolean(L, 0);
    lua_rawseti(L, calls, at);
  }
  lua_settop(L, calls - 1);
  slots_remove(&v->timers, t->id);
  free(t);
  runtime_release(v->rt);
}

/* Runs protected: (table of values, their number). */
static int timer_call_many(lua_State *L) {
  int values = (int)lua_tointeger(L, 2);
  luaL_checkstack(L, values, "too many arguments");
  for (int i = 1; i <= values; i++) lua_rawgeti(L, 1, i);
  lua_call(L, values - 1, 0);
  return 0;
}

/* Pushes what is to be called. result: how many arguments there are on top of the function */
static int timer_push_call(timer *t) {
  lua_State  *L = t->vm->L;
  lua_Integer first = timer_first(slot_index(t->id));
  bool        many = t->values > TIMER_VALUES;
  int         values = many ? 1 : t->values;
  if (many) lua_pushcfunction(L, timer_call_many);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &timer_calls);
  int calls = lua_gettop(L);
  for (int i = 0; i < values; i++) lua_rawgeti(L, calls, first + i);
  lua_remove(L, calls);
  if (!many) return values - 1;
  lua_pushinteger(L, t->values);
  return 2;
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
  /* After an error the beat goes on. */
  vm_call(v, timer_push_call(t), "function", t->period_ns > 0 ? "portico.every" : "portico.after");
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
static int timer_start(vm *v, int values, int64_t delay_ns, int64_t period_ns, slot_id *out_id) {
  timer *t = calloc(1, sizeof *t);
  if (t == NULL) return PORTICO_ENOMEM;
  *t = (timer){.c.run = timer_on_due, .vm = v, .values = values, .period_ns = period_ns};
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

/* The function and its arguments, from stack index 2 on, go to the values of the next timer; more than fit become a
 * table. May raise an error: then they stay there until the index is used. */
static void timer_keep_call(lua_State *L, int values) {
  if (values > TIMER_VALUES) {
    lua_createtable(L, values, 0);
    lua_insert(L, 2);
    for (int i = values; i >= 1; i--) lua_rawseti(L, 2, i);
  }
  lua_settop(L, 1 + TIMER_VALUES);
  uint32_t index = slots_next(&vm_of(L)->timers); /* not before: a finalizer may have run, and made timers */
  lua_rawgetp(L, LUA_REGISTRYINDEX, &timer_calls);
  for (int i = 0; i < TIMER_VALUES; i++) {
    if (i >= values || (values > TIMER_VALUES && i > 0)) lua_pushboolean(L, 0);
    else lua_pushvalue(L, 2 + i);
    lua_rawseti(L, -2, timer_first(index) + i);
  }
}

static int timer_new(lua_State *L, bool repeat) {
  lua_Number seconds = luaL_checknumber(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  luaL_argcheck(L, seconds >= 0 && seconds <= timer_seconds_max, 1, "seconds out of range (0 to 3e9)");
  luaL_argcheck(L, !repeat || seconds >= 1e-6, 1, "a repeated timer needs at least a microsecond");
  vm *v = vm_of(L);
  if (runtime_stopping(v->rt)) return vm_push_error(L, PORTICO_ECLOSED, "the program is stopping");
  int values = lua_gettop(L) - 1;
  slot_id *id = lua_newuserdatauv(L, sizeof *id, 0);
  *id = SLOT_NONE;
  luaL_setmetatable(L, timer_type);
  lua_insert(L, 1); /* timer, seconds, function, arguments */
  lua_remove(L, 2);
  timer_keep_call(L, values); /* nothing below raises an error */
  lua_settop(L, 1);
  int64_t ns = (int64_t)(seconds * OS_NS_PER_S);
  int     err = timer_start(v, values, ns, repeat ? ns : 0, id);
  return err == 0 ? 1 : vm_push_error(L, err, NULL);
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
  lua_newtable(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &timer_calls);
}
