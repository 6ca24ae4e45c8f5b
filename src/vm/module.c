/* module.c - the table that require "portico" returns. */
#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "os/clock.h"
#include "vm/connection.h"
#include "vm/inbox.h"
#include "vm/server.h"
#include "vm/timer.h"
#include "vm/vm.h"

/* portico.connect(url, handlers) -> connection | nil, message, code */
static int module_connect(lua_State *L) {
  const char *url = vm_check_url(L, 1);
  address     a;
  char        why[ADDRESS_WHY_BYTES];
  luaL_checktype(L, 2, LUA_TTABLE);
  int err = address_parse(url, &a, why);
  if (err < 0) return vm_push_error(L, err, why);
  if (runtime_stopping(vm_of(L)->rt)) return vm_push_error(L, PORTICO_ECLOSED, "the program is stopping");
  err = connection_connect(L, handlers_read(L, 2, url, false), &a);
  return err < 0 ? vm_push_error(L, err, NULL) : 1;
}

/* portico.now() -> seconds of a clock that never goes back */
static int module_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)os_clock_now() / OS_NS_PER_S);
  return 1;
}

/* portico.log(level, ...): the rest as print would write it, in one record */
static int module_log(lua_State *L) {
  static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
  int                      level = luaL_checkoption(L, 1, NULL, levels);
  vm                      *v = vm_of(L);
  if (!log_wants(runtime_log(v->rt), (portico_log_level)level)) return 0;
  int         last = lua_gettop(L);
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 2; i <= last; i++) {
    if (i > 2) luaL_addstring(&text, "\t");
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  log_write(runtime_log(v->rt), (portico_log_level)level, v->index, "%s", lua_tostring(L, -1));
  return 0;
}

/* portico.stop(code): ends the program; the code becomes the exit code of the portico program */
static int module_stop(lua_State *L) {
  lua_Integer code = luaL_optinteger(L, 1, 0);
  luaL_argcheck(L, code >= 0 && code <= 255, 1, "an exit code is 0 to 255");
  runtime_stop(vm_of(L)->rt, (int)code);
  return 0;
}

int vm_open_module(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"listen", server_listen}, {"connect", module_connect}, {"after", timer_after},
      {"every", timer_every},    {"now", module_now},         {"log", module_log},
      {"stop", module_stop},     {"subscribe", inbox_subscribe}, {NULL, NULL},
  };
  vm *v = vm_of(L);
  connection_open_type(L);
  server_open_type(L);
  timer_open_type(L);
  luaL_newlib(L, functions);
  lua_pushliteral(L, PORTICO_VERSION);
  lua_setfield(L, -2, "version");
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, v->index);
  lua_setfield(L, -2, "id");
  lua_pushinteger(L, v->rt->options.vms);
  lua_setfield(L, -2, "count");
  lua_setfield(L, -2, "vm");
  return 1;
}
