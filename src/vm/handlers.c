/* handlers.c - reads a handler table, strictly: a misspelt name would otherwise be a handler that never runs. */
#include "vm/handlers.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "vm/connection.h"

enum { HANDLERS_SEND_HIGH = 256 * 1024, HANDLERS_SEND_LIMIT = 16 * 1024 * 1024 };
enum { HANDLERS_SHOWN_BYTES = 64 }; /* of a name that is refused */

static const char *const handler_names[HANDLER_EVENTS] = {"on_open", "on_data", "on_end", "on_drain", "on_close"};

/* Options that are whole numbers. */
typedef struct handler_option {
  const char *name;
  lua_Integer min, max;
} handler_option;

enum { OPTION_RECV_MAX, OPTION_SEND_HIGH, OPTION_SEND_LIMIT, OPTION_BACKLOG, OPTION_SEND_BUFFER, OPTION_RECV_BUFFER };
enum { HANDLER_OPTIONS = OPTION_RECV_BUFFER + 1 };

static const handler_option handler_options[HANDLER_OPTIONS] = {
    [OPTION_RECV_MAX] = {"recv_max", 1, STREAM_RECV_MAX},
    [OPTION_SEND_HIGH] = {"send_high", 1, INT_MAX},
    [OPTION_SEND_LIMIT] = {"send_limit", 1, INT_MAX},
    [OPTION_BACKLOG] = {"backlog", 1, 65535},
    [OPTION_SEND_BUFFER] = {"send_buffer", 1, INT_MAX},
    [OPTION_RECV_BUFFER] = {"recv_buffer", 1, INT_MAX},
};

/* Options that are true or false. */
enum { FLAG_NODELAY, FLAG_RECV_PAUSE, FLAG_REUSE_PORT, HANDLER_FLAGS };

static const char *const handler_flags[HANDLER_FLAGS] = {
    [FLAG_NODELAY] = "nodelay", [FLAG_RECV_PAUSE] = "recv_pause", [FLAG_REUSE_PORT] = "reuse_port"};

const char *handlers_name(handler_event event) {
  return handler_names[event];
}

/* ---- names ---- */

/* How many letters must change: small numbers mean a slip of the finger. More than limit is as good as limit + 1. */
static unsigned name_distance(const char *a, const char *b, unsigned limit) {
  for (; *a != '\0' && *a == *b; a++) b++;
  if (*a == '\0') return (unsigned)strlen(b);
  if (*b == '\0') return (unsigned)strlen(a);
  if (limit == 0) return 1;
  unsigned change = name_distance(a + 1, b + 1, limit - 1);
  unsigned drop = name_distance(a + 1, b, limit - 1);
  unsigned insert = name_distance(a, b + 1, limit - 1);
  unsigned best = change < drop ? change : drop;
  return 1 + (insert < best ? insert : best);
}

static void name_consider(const char *given, const char *known, const char **best, unsigned *best_distance) {
  unsigned distance = name_distance(given, known, *best_distance);
  if (distance >= *best_distance) return;
  *best = known;
  *best_distance = distance;
}

static int handlers_refuse_name(lua_State *L, const char *given) {
  const char *best = NULL;
  unsigned    distance = 4;
  for (int i = 0; i < HANDLER_EVENTS; i++) name_consider(given, handler_names[i], &best, &distance);
  for (int i = 0; i < HANDLER_OPTIONS; i++) name_consider(given, handler_options[i].name, &best, &distance);
  for (int i = 0; i < HANDLER_FLAGS; i++) name_consider(given, handler_flags[i], &best, &distance);
  char shown[HANDLERS_SHOWN_BYTES];
  text_show(given, shown, sizeof shown);
  if (best == NULL) return luaL_error(L, "unknown handler or option '%s'", shown);
  return luaL_error(L, "unknown handler or option '%s' (did you mean '%s'?)", shown, best);
}

/* ---- reading; the table is at index arg, a value on top ---- */

static bool handlers_read_event(lua_State *L, handlers *h, const char *name) {
  for (int i = 0; i < HANDLER_EVENTS; i++) {
    if (strcmp(name, handler_names[i]) != 0) continue;
    if (!lua_isfunction(L, -1)) luaL_error(L, "handler '%s' must be a function, not %s", name, luaL_typename(L, -1));
    lua_pushvalue(L, -1);
    h->refs_lua[i] = luaL_ref(L, LUA_REGISTRYINDEX);
    return true;
  }
  return false;
}

static void handlers_store(handlers *h, int option, lua_Integer value) {
  switch (option) {
  case OPTION_RECV_MAX: h->group.recv_max = (size_t)value; break;
  case OPTION_SEND_HIGH: h->group.send_high = (size_t)value; break;
  case OPTION_SEND_LIMIT: h->group.send_limit = (size_t)value; break;
  case OPTION_BACKLOG: h->kernel.backlog = (int)value; break;
  case OPTION_SEND_BUFFER: h->kernel.send_buffer = (int)value; break;
  default: h->kernel.recv_buffer = (int)value; break;
  }
}

static bool handlers_read_option(lua_State *L, handlers *h, const char *name) {
  for (int i = 0; i < HANDLER_OPTIONS; i++) {
    const handler_option *o = &handler_options[i];
    if (strcmp(name, o->name) != 0) continue;
    int         whole;
    lua_Integer value = lua_tointegerx(L, -1, &whole);
    if (!whole || value < o->min || value > o->max) {
      luaL_error(L, "option '%s' must be a whole number from %I to %I", name, (LUAI_UACINT)o->min, (LUAI_UACINT)o->max);
    }
    handlers_store(h, i, value);
    return true;
  }
  return false;
}

static bool *handlers_flag(handlers *h, int flag) {
  switch (flag) {
  case FLAG_NODELAY: return &h->nodelay;
  case FLAG_RECV_PAUSE: return &h->group.recv_pause;
  default: return &h->kernel.reuse_port;
  }
}

static bool handlers_read_flag(lua_State *L, handlers *h, const char *name) {
  for (int i = 0; i < HANDLER_FLAGS; i++) {
    if (strcmp(name, handler_flags[i]) != 0) continue;
    if (!lua_isboolean(L, -1)) luaL_error(L, "option '%s' must be a boolean, not %s", name, luaL_typename(L, -1));
    *handlers_flag(h, i) = lua_toboolean(L, -1) != 0;
    return true;
  }
  return false;
}

static void handlers_read_field(lua_State *L, handlers *h) {
  if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "unknown handler or option (a %s)", luaL_typename(L, -2));
  size_t      len;
  const char *name = lua_tolstring(L, -2, &len);
  if (strlen(name) != len) luaL_error(L, "unknown handler or option (its name has a zero byte)");
  if (handlers_read_event(L, h, name) || handlers_read_option(L, h, name) || handlers_read_flag(L, h, name)) return;
  handlers_refuse_name(L, name);
}

/* Runs protected by its caller: (table, handlers). */
static int handlers_read_table(lua_State *L) {
  handlers *h = lua_touserdata(L, 2);
  for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) handlers_read_field(L, h);
  if (h->group.send_high > h->group.send_limit) luaL_error(L, "option 'send_high' is greater than 'send_limit'");
  return 0;
}

static handlers *handlers_new(vm *v, const char *url, bool recv_pause) {
  size_t    len = strlen(url);
  handlers *h = calloc(1, sizeof *h + len + 1);
  if (h == NULL) return NULL;
  memcpy(h->where, url, len + 1);
  h->vm = v;
  h->refs = 1;
  h->nodelay = true;
  h->group = (stream_group){
      .on = &connection_events, .turn = &v->turn,
      .recv_max = STREAM_RECV_MAX, .send_high = HANDLERS_SEND_HIGH, .send_limit = HANDLERS_SEND_LIMIT,
      .recv_pause = recv_pause};
  for (int i = 0; i < HANDLER_EVENTS; i++) h->refs_lua[i] = LUA_NOREF;
  h->next = v->handlers;
  if (h->next != NULL) h->next->prev = h;
  v->handlers = h;
  return h;
}

handlers *handlers_read(lua_State *L, int arg, const char *url, bool recv_pause) {
  luaL_checktype(L, arg, LUA_TTABLE);
  handlers *h = handlers_new(vm_of(L), url, recv_pause);
  if (h == NULL) luaL_error(L, "out of memory");
  lua_pushcfunction(L, handlers_read_table);
  lua_pushvalue(L, arg);
  lua_pushlightuserdata(L, h);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return h;
  handlers_unref(h);
  luaL_argerror(L, arg, lua_tostring(L, -1));
  return NULL; /* uncovered: the line above jumps */
}

/* ---- life ---- */

void handlers_unref(handlers *h) {
  if (--h->refs > 0) return;
  lua_State *L = h->vm->L;
  for (int i = 0; i < HANDLER_EVENTS; i++) luaL_unref(L, LUA_REGISTRYINDEX, h->refs_lua[i]);
  if (h->prev != NULL) h->prev->next = h->next;
  else h->vm->handlers = h->next;
  if (h->next != NULL) h->next->prev = h->prev;
  watchdog *dog = h->vm->rt->watchdog;
  if (dog != NULL) watchdog_lock(dog); /* it may be reading h->where */
  free(h);
  if (dog != NULL) watchdog_unlock(dog);
}

void handlers_free_all(vm *v) {
  while (v->handlers != NULL) {
    handlers *h = v->handlers;
    v->handlers = h->next;
    free(h);
  }
}

bool handlers_push(handlers *h, handler_event event) {
  if (h->refs_lua[event] == LUA_NOREF) return false;
  lua_rawgeti(h->vm->L, LUA_REGISTRYINDEX, h->refs_lua[event]);
  return true;
}

void handlers_set_socket(os_socket socket, void *arg) {
  handlers *h = arg;
  /* An option that cannot be set is no reason to lose a connection. */
  os_socket_set_nodelay(socket, h->nodelay);
  os_socket_set_buffers(socket, h->kernel.send_buffer, h->kernel.recv_buffer);
}
