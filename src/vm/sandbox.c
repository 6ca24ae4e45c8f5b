/* sandbox.c - the doors of the standard libraries that do not fit a server.
 *
 *  - Bytecode is refused everywhere, since malformed one can crash the process: load, loadfile, dofile and require
 *    take text.
 *  - os.execute may block: a worker says so, and another one runs in its place.
 *  - os.exit would end the process under other people's connections: portico.stop ends the program.
 *  - Of debug there is what reports errors; sethook would switch the time budget off.
 *  - Modules that come with the program are found by require before the files. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "vm/vm.h"

static const char sandbox_refusal[] = "only Lua source can be loaded, not bytecode";

/* True if the mode at that index allows nothing but bytecode; then nil and why not are on the stack. */
static bool sandbox_refuses(lua_State *L, int mode_index) {
  if (strchr(luaL_optstring(L, mode_index, "t"), 't') != NULL) return false;
  lua_pushnil(L);
  lua_pushstring(L, sandbox_refusal);
  return true;
}

/* load(chunk [, name [, mode [, env]]]): as Lua's own (upvalue 1), with the mode set to text */
static int sandbox_load(lua_State *L) {
  if (sandbox_refuses(L, 3)) return 2;
  int args = lua_gettop(L);
  if (args < 3) lua_settop(L, 3);
  lua_pushliteral(L, "t");
  lua_replace(L, 3);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, args < 3 ? 3 : args, LUA_MULTRET);
  return lua_gettop(L);
}

/* loadfile(path [, mode [, env]]) */
static int sandbox_loadfile(lua_State *L) {
  const char *path = luaL_optstring(L, 1, NULL);
  bool        has_env = !lua_isnone(L, 3);
  if (sandbox_refuses(L, 2)) return 2;
  if (luaL_loadfilex(L, path, "t") != LUA_OK) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (has_env) {
    lua_pushvalue(L, 3);
    lua_setupvalue(L, -2, 1); /* which a chunk of text has */
  }
  return 1;
}

/* dofile([path]) */
static int sandbox_dofile(lua_State *L) {
  const char *path = luaL_optstring(L, 1, NULL);
  lua_settop(L, 1);
  if (luaL_loadfilex(L, path, "t") != LUA_OK) return lua_error(L);
  lua_call(L, 0, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

/* A searcher of require: modules that are part of the program. */
static int sandbox_search_embedded(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const char *text;
  size_t      len;
  vm         *v = vm_of(L);
  if (!v->rt->options.find_module(name, &text, &len)) {
    lua_pushfstring(L, "no module '%s' in the program", name);
    return 1;
  }
  lua_pushfstring(L, "=%s.lua", name);
  bool loaded = luaL_loadbufferx(L, text, len, lua_tostring(L, -1), "t") == LUA_OK;
  if (!loaded) return lua_error(L); /* uncovered: no memory just here */
  lua_pushliteral(L, "(in the program)");
  return 2;
}

/* A searcher of require: Lua files on package.path (upvalue 1 is the package table). */
static int sandbox_search_files(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_getfield(L, lua_upvalueindex(1), "searchpath");
  lua_pushvalue(L, 1);
  lua_getfield(L, lua_upvalueindex(1), "path");
  lua_call(L, 2, 2);
  if (lua_isnil(L, -2)) return 1; /* the message that lists what was tried */
  const char *path = lua_tostring(L, -2);
  if (luaL_loadfilex(L, path, "t") != LUA_OK) {
    return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", lua_tostring(L, 1), path,
                      lua_tostring(L, -1));
  }
  lua_pushstring(L, path);
  return 2;
}

/* os.execute(...): as Lua's own (upvalue 1), inside a bracket */
static int sandbox_execute(lua_State *L) {
  int args = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  vm_block_enter(vm_of(L));
  int status = lua_pcall(L, args, LUA_MULTRET, 0);
  port_block_leave();
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static int sandbox_exit(lua_State *L) {
  return luaL_error(L, "os.exit would end every connection of the process: use portico.stop(code)");
}

/* print(...): one write per call, so that lines of several VMs do not mix */
static int sandbox_print(lua_State *L) {
  int         last = lua_gettop(L);
  luaL_Buffer line;
  size_t      len;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= last; i++) {
    if (i > 1) luaL_addchar(&line, '\t'); /* uncovered: a buffer that is full to the byte */
    luaL_tolstring(L, i, NULL);
    luaL_addvalue(&line);
  }
  luaL_addchar(&line, '\n'); /* uncovered: a buffer that is full to the byte */
  luaL_pushresult(&line);
  const char *text = lua_tolstring(L, -1, &len);
  fwrite(text, 1, len, stdout);
  fflush(stdout);
  return 0;
}

static void sandbox_wrap(lua_State *L, const char *library, const char *name, lua_CFunction wrapper) {
  lua_getglobal(L, library);
  lua_getfield(L, -1, name);
  lua_pushcclosure(L, wrapper, 1);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

static void sandbox_replace_searchers(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, sandbox_search_files, 1);
  lua_rawseti(L, -2, 2);
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) { /* make room behind preload */
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, sandbox_search_embedded);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

static void sandbox_reduce_debug(lua_State *L) {
  static const char *const kept[] = {"traceback", "getinfo"};
  lua_getglobal(L, "debug");
  lua_createtable(L, 0, 2);
  for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
    lua_getfield(L, -2, kept[i]);
    lua_setfield(L, -2, kept[i]);
  }
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "debug");
  lua_pop(L, 1);
  lua_setglobal(L, "debug");
  lua_pop(L, 1);
}

void vm_open_libraries(vm *v) {
  lua_State *L = v->L;
  sandbox_wrap(L, "_G", "load", sandbox_load);
  lua_register(L, "loadfile", sandbox_loadfile);
  lua_register(L, "dofile", sandbox_dofile);
  lua_register(L, "print", sandbox_print);
  sandbox_wrap(L, "os", "execute", sandbox_execute);
  sandbox_wrap(L, "os", "exit", sandbox_exit);
  sandbox_replace_searchers(L);
  sandbox_reduce_debug(L);
}
