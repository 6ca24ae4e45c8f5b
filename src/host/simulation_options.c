/* simulation_options.c - what simulation.open, load and rates are given. */
#include "host/simulation_options.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "os/clock.h"

#define SIMULATION_RATES(X)                                                                                          \
  X(delay) X(split) X(short_send) X(again) X(spurious) X(shuffle) X(stall) X(preempt) X(reset) X(refuse)             \
  X(descriptors) X(buffers) X(memory) X(drop) X(duplicate) X(reorder)
#define SIMULATION_NAME(name) #name,
#define SIMULATION_PLACE(name) offsetof(os_sim_rates, name),
static const char *const rate_names[] = {SIMULATION_RATES(SIMULATION_NAME) NULL};
static const size_t      rate_places[] = {SIMULATION_RATES(SIMULATION_PLACE)};

static const double seconds_max = 1e6; /* of the longest delay */
enum { BUFFER_BYTES_MAX = 1 << 30, SOCKETS_MAX = 1 << 20 };

static bool simulation_knows(const char *const *names, const char *name) {
  for (; *names != NULL; names++) {
    if (strcmp(*names, name) == 0) return true;
  }
  return false;
}

static void simulation_refuse_name(lua_State *L, const char *what, const char *const *names) {
  luaL_Buffer known;
  luaL_tolstring(L, -1, NULL);
  luaL_buffinit(L, &known);
  for (unsigned i = 0; names[i] != NULL; i++) {
    if (i > 0) luaL_addstring(&known, ", ");
    luaL_addstring(&known, names[i]);
  }
  luaL_pushresult(&known);
  luaL_error(L, "%s: unknown option '%s' (there are: %s)", what, lua_tostring(L, -2), lua_tostring(L, -1));
}

void simulation_check_names(lua_State *L, int arg, const char *what, const char *const *names) {
  if (lua_isnoneornil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, arg) != 0;) {
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING || !simulation_knows(names, lua_tostring(L, -1))) {
      simulation_refuse_name(L, what, names);
    }
  }
}

/* Pushes a field of the table at index arg. False, and nothing pushed: there is none. */
static bool simulation_push_field(lua_State *L, int arg, const char *name) {
  if (lua_isnoneornil(L, arg)) return false;
  if (lua_getfield(L, arg, name) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

lua_Integer simulation_integer(lua_State *L, int arg, const char *name, lua_Integer min, lua_Integer max,
                               lua_Integer fallback) {
  if (!simulation_push_field(L, arg, name)) return fallback;
  int         is_integer;
  lua_Integer value = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || value < min || value > max) {
    luaL_error(L, "%s: an integer from %I to %I, not %s", name, (LUAI_UACINT)min, (LUAI_UACINT)max,
               luaL_tolstring(L, -1, NULL));
  }
  lua_pop(L, 1);
  return value;
}

static double simulation_number(lua_State *L, int arg, const char *name, double max, double fallback) {
  if (!simulation_push_field(L, arg, name)) return fallback;
  int    is_number;
  double value = lua_tonumberx(L, -1, &is_number);
  if (!is_number || !(value >= 0 && value <= max)) {
    luaL_error(L, "%s: a number from 0 to %f, not %s", name, (LUAI_UACNUMBER)max, luaL_tolstring(L, -1, NULL));
  }
  lua_pop(L, 1);
  return value;
}

void simulation_read_rates(lua_State *L, int arg, os_sim_rates *rates) {
  simulation_check_names(L, arg, "rates", rate_names);
  for (unsigned i = 0; rate_names[i] != NULL; i++) {
    double rate = simulation_number(L, arg, rate_names[i], 1, -1);
    if (rate >= 0) *(uint32_t *)((char *)rates + rate_places[i]) = (uint32_t)(rate * OS_SIM_ALWAYS + 0.5);
  }
}

void simulation_read_options(lua_State *L, int arg, os_sim_options *out_options) {
  static const char *const names[] = {"seed", "rates", "buffer", "delay_max", "sockets_max", NULL};
  os_sim_options           options = {.clock = OS_SIM_VIRTUAL};
  simulation_check_names(L, arg, "simulation.open", names);
  options.seed = (uint64_t)simulation_integer(L, arg, "seed", LUA_MININTEGER, LUA_MAXINTEGER, 1);
  options.buffer_bytes = (size_t)simulation_integer(L, arg, "buffer", 1, BUFFER_BYTES_MAX, 0);
  options.sockets_max = (unsigned)simulation_integer(L, arg, "sockets_max", 1, SOCKETS_MAX, 0);
  options.delay_ns_max = (int64_t)(simulation_number(L, arg, "delay_max", seconds_max, 0) * OS_NS_PER_S);
  if (simulation_push_field(L, arg, "rates")) {
    simulation_read_rates(L, lua_gettop(L), &options.rates);
    lua_pop(L, 1);
  }
  *out_options = options;
}
