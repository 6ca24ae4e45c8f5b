/* coroutines.c - coroutine.resume and coroutine.wrap as Lua has them, but the watchdog hears which coroutine runs: its
 * hook belongs to one coroutine, and a loop in another one would never see it. */
#include <lauxlib.h>

#include "vm/vm.h"

/* Moves `args` values over and runs co until it yields, returns or fails.
 * result   values now on top of L, or -1: the error is */
static int coroutine_run(lua_State *L, lua_State *co, int args) {
  int results;
  if (!lua_checkstack(co, args)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, args);
  watch *w = &vm_of(L)->watch;
  watch_switch(w, L, co);
  int status = lua_resume(co, L, args, &results);
  watch_switch(w, co, L);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, results);
  return results;
}

/* coroutine.resume(co, ...) -> true, ... | false, error */
static int coroutine_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  int results = coroutine_run(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  int count = results >= 0 ? results : 1;
  lua_insert(L, -(count + 1));
  return count + 1;
}

/* The function that coroutine.wrap returns: errors go through, with the place where they happened. */
static int coroutine_step(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int        results = coroutine_run(L, co, lua_gettop(L));
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    status = lua_resetthread(co); /* closes its to-be-closed variables */
    lua_xmove(co, L, 1);          /* their error, or the one there was */
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

/* coroutine.wrap(f) -> function */
static int coroutine_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, coroutine_step, 1);
  return 1;
}

void vm_open_coroutines(lua_State *L) {
  static const luaL_Reg functions[] = {{"resume", coroutine_resume}, {"wrap", coroutine_wrap}, {NULL, NULL}};
  lua_getglobal(L, "coroutine");
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
