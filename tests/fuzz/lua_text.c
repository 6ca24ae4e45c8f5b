/* lua_text.c - script text through every door that takes some: all agree on what is Lua, and none takes bytecode,
 * neither what the input is nor what it compiles to. The first byte chooses the door; nothing of the input is run. */
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "folder.h"
#include "fuzz.h"
#include "host/host.h"
#include "portico.h"

enum { DOOR_LOAD_STRING, DOOR_LOAD_FILE, DOOR_IN_LUA };

/* What the doors inside of Lua are told: (door, text, path of a file that holds it). They return what was compiled, or
 * nil and why not. What dofile and require would run returns at its first line, which bytecode has not. */
static const char doors[] =
    "local door, text, path, folder = ...\n"
    "if door == 1 then return load(text) end\n"
    "if door == 2 then\n"
    "  local at = 0\n"
    "  return load(function() at = at + 1; if at <= #text then return text:sub(at, at) end end, '=pieces', 'bt')\n"
    "end\n"
    "if door == 3 then return load(text, '=mode', 'b') end\n"
    "if door == 4 then return loadfile(path) end\n"
    "if door == 5 then return loadfile(path, 'b', {}) end\n"
    "local run, why\n"
    "if door == 6 then run, why = pcall(dofile, path)\n"
    "else\n"
    "  package.loaded.text, package.path = nil, folder .. '/?.lua'\n"
    "  run, why = pcall(require, 'text')\n"
    "end\n"
    "if run then return load 'return 1' end\n"
    "return nil, why\n";
enum { DOORS = DOOR_IN_LUA + 7 };

static const char runs_nothing[] = "do return end\n";

static portico_host *host; /* NULL: the one there was has loaded something, and takes no more */

static lua_State *open_host(void) {
  portico_config config = PORTICO_CONFIG_DEFAULT;
  config.concurrency = config.workers = config.vms = 1;
  config.memory_bytes = 16 << 20;
  if (host == NULL) REQUIRE(portico_open(&config, &host) == 0);
  return host->rt->vms[0]->L;
}

static void close_host(void) {
  portico_close(host);
  host = NULL;
}

/* Bytecode, perhaps behind what the doors take away first: a first line of the shell's, a byte order mark. */
static bool is_bytecode(const char *text, size_t len) {
  if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3, len -= 3;
  if (len > 0 && text[0] == '#') {
    const char *line = memchr(text, '\n', len);
    if (line == NULL) return false;
    len -= (size_t)(line + 1 - text);
    text = line + 1;
  }
  return len > 0 && text[0] == LUA_SIGNATURE[0];
}

/* ---- files ---- */

static void write_file(const char *path, const char *text, size_t len) {
  FILE *f = fopen(path, "wb");
  REQUIRE(f != NULL && fwrite(text, 1, len, f) == len);
  fclose(f);
}

/* ---- the doors; result: was it taken? ---- */

static bool through_portico(int door, const char *text, size_t len, const char *path) {
  int err = door == DOOR_LOAD_STRING ? portico_load_string(host, "text", text, len, 0, NULL)
                                     : portico_load_file(host, path, 0, NULL);
  if (err < 0) REQUIRE(err == PORTICO_ESCRIPT && portico_last_error(host)[0] != '\0');
  else close_host(); /* it takes one */
  return err == 0;
}

static bool through_lua(int door, const char *text, size_t len, const char *path, const char *in) {
  lua_State *L = open_host();
  REQUIRE(luaL_loadstring(L, doors) == LUA_OK);
  lua_pushinteger(L, door - DOOR_IN_LUA + 1);
  lua_pushlstring(L, text, len);
  lua_pushstring(L, path);
  lua_pushstring(L, in);
  REQUIRE(lua_pcall(L, 4, 2, 0) == LUA_OK);
  bool taken = lua_isfunction(L, -2);
  if (!taken) REQUIRE(lua_isnil(L, -2) && lua_isstring(L, -1));
  lua_pop(L, 2);
  return taken;
}

static bool try_door(int door, const char *text, size_t len) {
  folder own;
  char   path[FOLDER_PATH_BYTES];
  REQUIRE(folder_make(&own) == 0);
  folder_file(&own, "text.lua", path);
  write_file(path, text, len);
  open_host();
  bool taken = door < DOOR_IN_LUA ? through_portico(door, text, len, path)
                                  : through_lua(door, text, len, path, own.path);
  remove(path);
  folder_remove(&own);
  return taken;
}

/* ---- the input ---- */

/* What the text compiles to, on top of the stack; nil if it is no Lua. */
static void push_bytecode(lua_State *L, const char *text, size_t len) {
  static const char dump[] = "local f = load(..., '=text') return f and string.dump(f)";
  REQUIRE(luaL_loadstring(L, dump) == LUA_OK);
  lua_pushlstring(L, text, len);
  REQUIRE(lua_pcall(L, 1, 1, 0) == LUA_OK);
}

static void check_text(int door, const char *text, size_t len) {
  lua_State *L = open_host();
  bool       is_lua = vm_load(host->rt->vms[0], text, len, "=text") == 0;
  bool       bytecode = is_bytecode(text, len);
  bool       binary_only = door == DOOR_IN_LUA + 2 || door == DOOR_IN_LUA + 4; /* asks for nothing but bytecode */
  lua_pop(L, 1);
  bool taken = try_door(door, text, len);
  if (bytecode || binary_only) REQUIRE(!taken);
  else if (text[0] != '#' && text[0] != '\xef') REQUIRE(taken == is_lua); /* `load` takes no first line away */
}

static void check_bytecode(int door, const char *text, size_t len) {
  size_t     bytes;
  lua_State *L = open_host();
  push_bytecode(L, text, len);
  const char *code = lua_tolstring(L, -1, &bytes);
  if (code != NULL) REQUIRE(is_bytecode(code, bytes) && !try_door(door, code, bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  if (len == 0) return 0;
  int    door = data[0] % DOORS;
  bool   runs = door >= DOOR_IN_LUA + 5 && !is_bytecode((const char *)data + 1, len - 1);
  size_t before = runs ? sizeof runs_nothing - 1 : 0;
  char  *text = malloc(before + len);
  REQUIRE(text != NULL);
  memcpy(text, runs_nothing, before);
  memcpy(text + before, data + 1, len - 1);
  text[before + len - 1] = '\0';
  check_text(door, text, before + len - 1);
  check_bytecode(door, text, before + len - 1);
  close_host();
  free(text);
  return 0;
}
