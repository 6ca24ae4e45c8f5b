/* lua_driver.c - targets that are written in Lua: FUZZ_DRIVER.lua is run with the sources of what it tries, with each
 * input in a Lua state of its own. */
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "fuzz.h"
#include "script_sources.h" /* made by the build from what it tries, and the driver */

/* What libFuzzer takes for coverage beside its own: here the lines of Lua that were run. */
enum { LINES = 4096 };
#ifdef __linux__
__attribute__((section("__libfuzzer_extra_counters")))
#endif
static uint8_t lines[LINES];

static void script_on_line(lua_State *L, lua_Debug *at) {
  lua_getinfo(L, "S", at);
  unsigned place = (unsigned)at->currentline;
  for (const char *c = at->short_src; *c != '\0'; c++) place = place * 31 + (unsigned char)*c;
  lines[place % LINES]++;
}

static int script_fail(lua_State *L) {
  fprintf(stderr, "%s\n", lua_tostring(L, 1));
  abort();
}

/* A table of the sources by the last part of their names. result: the driver's */
static const embedded_file *push_sources(lua_State *L) {
  const embedded_file *driver = NULL;
  lua_newtable(L);
  for (const embedded_file *f = script_sources; f->name != NULL; f++) {
    if (strcmp(f->name, "tests.fuzz." FUZZ_DRIVER) == 0) driver = f;
    lua_pushlstring(L, f->text, f->len);
    lua_setfield(L, -2, strrchr(f->name, '.') + 1);
  }
  return driver;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  lua_State *L = luaL_newstate();
  REQUIRE(L != NULL);
  luaL_openlibs(L);
  lua_sethook(L, script_on_line, LUA_MASKLINE, 0);
  const embedded_file *driver = push_sources(L);
  REQUIRE(luaL_loadbufferx(L, driver->text, driver->len, "=" FUZZ_DRIVER ".lua", "t") == LUA_OK);
  lua_insert(L, 1);
  lua_pushlstring(L, (const char *)data, len);
  lua_pushcfunction(L, script_fail);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) {
    lua_replace(L, 1);
    script_fail(L);
  }
  lua_close(L);
  return 0;
}
