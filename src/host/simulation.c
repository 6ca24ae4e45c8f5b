/* simulation.c - the Lua module portico.simulation and its type portico.Simulation. */
#include "host/simulation.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "host/host.h"
#include "host/simulation_client.h"
#include "host/simulation_options.h"
#include "os/clock.h"
#include "vm/server.h"

enum { SIMULATION_VMS_MAX = 64, SIMULATION_WORKERS_MAX = 64, SIMULATION_ARGS_MAX = 1000 };

static const char   simulation_type[] = "portico.Simulation";
static const double turn_seconds_max = 1e9;

/* What was left when all was closed. */
typedef struct simulation_rest {
  size_t sockets, pending;
} simulation_rest;

/* ---- in and out ---- */

os_sim *simulation_enter(simulation *s) {
  os_sim *before = os_sim_here();
  os_sim_enter(s->world);
  return before;
}

void simulation_leave(os_sim *before) {
  if (before != NULL) os_sim_enter(before); /* a script that is simulated itself simulates another */
  else os_sim_leave();
}

simulation *simulation_check(lua_State *L) {
  simulation *s = luaL_checkudata(L, 1, simulation_type);
  if (s->world == NULL) luaL_error(L, "this simulation is closed");
  return s;
}

static void simulation_on_log(const portico_log_record *record, void *arg) {
  simulation *s = arg;
  simulation_lines_add(&s->log, record->level, record->vm, record->text);
}

static void simulation_on_trace(const char *line, void *arg) {
  simulation *s = arg;
  simulation_lines_add(&s->trace, PORTICO_LOG_DEBUG, 0, line);
}

/* Calls the function that hears the trace with each line that has come. Outside of the world. */
static void simulation_tell_trace(lua_State *L, simulation *s) {
  while (s->trace.first != NULL) {
    lua_getiuservalue(L, 1, 1);
    lua_pushstring(L, s->trace.first->text);
    simulation_lines_drop(&s->trace);
    lua_call(L, 1, 0);
  }
}

/* ---- the end ---- */

/* Stops the program and frees its host, if there is one. In the world. result: operations that did not end */
static size_t simulation_end_program(simulation *s) {
  portico_host *h = s->host;
  port_stats    stats;
  if (h == NULL) return 0;
  s->host = NULL;
  host_finish(h);
  port_get_stats(h->port, &stats);
  size_t left = stats.pending + stats.queued - (size_t)atomic_load(&h->word_posted);
  portico_close(h);
  return left;
}

static simulation_rest simulation_end(simulation *s) {
  simulation_rest rest = {0};
  os_sim_stats    stats;
  if (s->world == NULL) return rest;
  os_sim *before = simulation_enter(s);
  rest.pending = simulation_end_program(s);
  client_close_all(s);
  os_sim_get_stats(s->world, &stats);
  rest.sockets = stats.sockets;
  simulation_leave(before);
  os_sim_set_trace(s->world, NULL, NULL);
  os_sim_close(s->world);
  s->world = NULL;
  return rest;
}

/* simulation:close() -> {sockets=, pending=}: what was left after the program was stopped */
static int simulation_close(lua_State *L) {
  simulation     *s = luaL_checkudata(L, 1, simulation_type);
  simulation_rest rest = simulation_end(s);
  simulation_tell_trace(L, s);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)rest.sockets);
  lua_setfield(L, -2, "sockets");
  lua_pushinteger(L, (lua_Integer)rest.pending);
  lua_setfield(L, -2, "pending");
  return 1;
}

static int simulation_collect(lua_State *L) {
  simulation *s = luaL_checkudata(L, 1, simulation_type);
  simulation_end(s);
  simulation_lines_clear(&s->log);
  simulation_lines_clear(&s->trace);
  return 0;
}

static int simulation_leave_scope(lua_State *L) {
  simulation_end(luaL_checkudata(L, 1, simulation_type)); /* its log can still be taken */
  return 0;
}

/* ---- the program ---- */

/* A script, as it was given to load or load_text. */
typedef struct simulation_script {
  const char  *name, *text; /* text NULL: name is its path */
  size_t       len;
  int          argc;
  const char **argv;
  unsigned     vms, workers; /* workers 0: the caller does their work */
} simulation_script;

/* Runs protected in a VM of the program: (seed, number of the VM). */
static int simulation_seed_random(lua_State *L) {
  lua_getglobal(L, "math");
  lua_getfield(L, -1, "randomseed");
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 0);
  return 0;
}

/* Lua seeds math.random by time and address, which no run shares with another. */
static int simulation_seed_vms(simulation *s) {
  for (unsigned i = 0; i < s->host->config.vms; i++) {
    lua_State *L = s->host->rt->vms[i]->L;
    lua_pushcfunction(L, simulation_seed_random);
    lua_pushinteger(L, (lua_Integer)s->seed);
    lua_pushinteger(L, (lua_Integer)i + 1);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) { /* uncovered: no memory just here */
      lua_pop(L, 1);
      return PORTICO_ENOMEM;
    }
  }
  return 0;
}

/* In the world. */
static int simulation_start(simulation *s, const simulation_script *script) {
  portico_config config = PORTICO_CONFIG_DEFAULT;
  config.own_loop = script->workers == 0;
  config.workers = config.concurrency = script->workers;
  config.vms = script->vms;
  config.log_level = PORTICO_LOG_DEBUG;
  config.log_fn = simulation_on_log;
  config.log_arg = s;
  int err = portico_open(&config, &s->host);
  if (err < 0) return err;
  err = simulation_seed_vms(s);
  if (err < 0) return err; /* uncovered: no memory just here */
  err = script->text != NULL ? portico_load_string(s->host, script->name, script->text, script->len, script->argc,
                                                   script->argv)
                             : portico_load_file(s->host, script->name, script->argc, script->argv);
  return err < 0 ? err : portico_start(s->host);
}

static bool simulation_runs(const simulation *s) {
  return s->host != NULL && atomic_load(&s->host->state) == HOST_STARTED;
}

/* Reads (args, options) from index arg on; what it points to stays on the stack. */
static void simulation_read_script(lua_State *L, int arg, simulation_script *script) {
  static const char *const names[] = {"vms", "workers", NULL};
  lua_settop(L, arg + 1);
  simulation_check_names(L, arg + 1, "options", names);
  script->vms = (unsigned)simulation_integer(L, arg + 1, "vms", 1, SIMULATION_VMS_MAX, 1);
  script->workers = (unsigned)simulation_integer(L, arg + 1, "workers", 0, SIMULATION_WORKERS_MAX, 0);
  if (lua_isnil(L, arg)) return;
  luaL_checktype(L, arg, LUA_TTABLE);
  lua_Unsigned count = lua_rawlen(L, arg);
  luaL_argcheck(L, count <= SIMULATION_ARGS_MAX, arg, "too many arguments for a script");
  luaL_checkstack(L, (int)count + 4, NULL);
  script->argv = lua_newuserdatauv(L, (count + 1) * sizeof *script->argv, 0);
  for (script->argc = 0; script->argc < (int)count; script->argc++) {
    lua_rawgeti(L, arg, script->argc + 1);
    script->argv[script->argc] = luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
  }
}

/* Starts it, after the end of the one before. result: how many results of Lua */
static int simulation_load_script(lua_State *L, simulation *s, const simulation_script *script) {
  if (simulation_runs(s)) return vm_push_error(L, PORTICO_EBUSY, "a program runs already in this simulation");
  os_sim *before = simulation_enter(s);
  simulation_end_program(s);
  int err = simulation_start(s, script);
  simulation_leave(before);
  simulation_tell_trace(L, s);
  if (err < 0) {
    const char *why = portico_last_error(s->host);
    return vm_push_error(L, err, why[0] != '\0' ? why : NULL);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* simulation:load(path [, args [, options]]) -> true | nil, message, code */
static int simulation_load(lua_State *L) {
  simulation       *s = simulation_check(L);
  simulation_script script = {.name = luaL_checkstring(L, 2)};
  simulation_read_script(L, 3, &script);
  return simulation_load_script(L, s, &script);
}

/* simulation:load_text(name, text [, args [, options]]) -> true | nil, message, code */
static int simulation_load_text(lua_State *L) {
  simulation       *s = simulation_check(L);
  simulation_script script = {.name = luaL_checkstring(L, 2)};
  script.text = luaL_checklstring(L, 3, &script.len);
  simulation_read_script(L, 4, &script);
  return simulation_load_script(L, s, &script);
}

/* What arrives at a client wakes no program: time must not pass it by, or a client that waits would find that the
 * program has given up on it meanwhile. */
static int64_t simulation_until_next(simulation *s, int64_t timeout_ns) {
  os_sim_stats stats;
  os_sim_get_stats(s->world, &stats);
  int64_t left = stats.next_ns - os_clock_now();
  return left < timeout_ns ? (left > 0 ? left : 0) : timeout_ns;
}

/* Has the program go on, by its workers or by the caller. result: as portico_step */
static int simulation_step_program(simulation *s, int64_t timeout_ns) {
  if (s->host->config.own_loop) return portico_step(s->host, timeout_ns);
  if (host_ended(s->host)) return PORTICO_ECLOSED;
  return os_sim_wait(timeout_ns) ? 1 : 0;
}

/* Without a program, time passes all the same: what is on its way to clients arrives. */
static int simulation_step_once(simulation *s, int64_t timeout_ns) {
  timeout_ns = simulation_until_next(s, timeout_ns);
  int ran = simulation_runs(s) ? simulation_step_program(s, timeout_ns) : PORTICO_ECLOSED;
  if (ran == PORTICO_ECLOSED) os_sim_wait(timeout_ns);
  return ran;
}

/* One step. The port may have something to do of which no packet tells, such as to send the rest of a long answer: that
 * has run, too, for clients see it, and a wait would pass it by. So it looks first. In the world. */
static int simulation_step(simulation *s, int64_t timeout_ns) {
  os_sim_stats before, after;
  os_sim_get_stats(s->world, &before);
  int ran = simulation_step_once(s, 0);
  os_sim_get_stats(s->world, &after);
  if (ran == 0 && after.trace_hash != before.trace_hash) return 1;
  return ran > 0 || timeout_ns == 0 ? ran : simulation_step_once(s, timeout_ns);
}

/* simulation:turn([seconds]) -> "ran" | "waited" | "ended": one step of the program. If there is nothing to run, time
 * passes until there is, until something arrives at a client, or for that many seconds; without a program, too */
static int simulation_turn(lua_State *L) {
  simulation *s = simulation_check(L);
  double      seconds = luaL_optnumber(L, 2, 0);
  luaL_argcheck(L, seconds >= 0 && seconds <= turn_seconds_max, 2, "seconds, 0 to 1e9");
  os_sim *before = simulation_enter(s);
  int     ran = simulation_step(s, (int64_t)(seconds * OS_NS_PER_S));
  simulation_leave(before);
  simulation_tell_trace(L, s);
  if (ran < 0 && ran != PORTICO_ECLOSED) { /* uncovered: no memory just here */
    return luaL_error(L, "cannot go on: %s", portico_error_text(ran));
  }
  lua_pushstring(L, ran > 0 ? "ran" : ran == 0 ? "waited" : "ended");
  return 1;
}

/* ---- asking ---- */

/* simulation:now() -> virtual seconds, as portico.now() in the program */
static int simulation_now(lua_State *L) {
  simulation *s = simulation_check(L);
  os_sim     *before = simulation_enter(s);
  int64_t     now = os_clock_now();
  simulation_leave(before);
  lua_pushnumber(L, (lua_Number)now / OS_NS_PER_S);
  return 1;
}

/* simulation:rates{...}: what is not named stays */
static int simulation_rates(lua_State *L) {
  simulation  *s = simulation_check(L);
  os_sim_rates rates = s->rates;
  luaL_checktype(L, 2, LUA_TTABLE);
  simulation_read_rates(L, 2, &rates);
  s->rates = rates;
  os_sim_set_rates(s->world, &rates);
  return 0;
}

/* simulation:listening() -> array of URLs, each once */
static int simulation_listening(lua_State *L) {
  simulation *s = simulation_check(L);
  char        url[ADDRESS_URL_BYTES], last[ADDRESS_URL_BYTES] = "";
  lua_Integer count = 0;
  lua_newtable(L);
  for (size_t i = 0; s->host != NULL && server_url(s->host->rt, i, url); i++) {
    if (strcmp(url, last) == 0) continue; /* reuse_port: each VM has one */
    lua_pushstring(L, url);
    lua_rawseti(L, -2, ++count);
    memcpy(last, url, sizeof last);
  }
  return 1;
}

/* simulation:take_log() -> array of {level=, vm=, text=} since the last call; also after the close */
static int simulation_take_log(lua_State *L) {
  static const char *const levels[] = {"debug", "info", "warn", "error"};
  simulation              *s = luaL_checkudata(L, 1, simulation_type);
  lua_newtable(L);
  for (lua_Integer i = 1; s->log.first != NULL; i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, levels[s->log.first->level]);
    lua_setfield(L, -2, "level");
    lua_pushinteger(L, s->log.first->vm);
    lua_setfield(L, -2, "vm");
    lua_pushstring(L, s->log.first->text);
    lua_setfield(L, -2, "text");
    lua_rawseti(L, -2, i);
    simulation_lines_drop(&s->log);
  }
  return 1;
}

/* simulation:trace(fn | nil): fn is called with a line for each thing that happens in the network, after the call in
 * which it did */
static int simulation_trace(lua_State *L) {
  simulation *s = simulation_check(L);
  bool        on = !lua_isnoneornil(L, 2);
  if (on) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, 1);
  os_sim_set_trace(s->world, on ? simulation_on_trace : NULL, s);
  if (!on) simulation_lines_clear(&s->trace);
  return 0;
}

/* simulation:hash() -> text that is the same for equal runs: of all that has happened in the network, and when */
static int simulation_hash(lua_State *L) {
  simulation  *s = simulation_check(L);
  os_sim_stats stats;
  char         text[32];
  os_sim_get_stats(s->world, &stats);
  snprintf(text, sizeof text, "%016" PRIx64, stats.trace_hash);
  lua_pushstring(L, text);
  return 1;
}

/* ---- the module ---- */

/* simulation.open(options) -> simulation | nil, message, code */
static int simulation_open(lua_State *L) {
  os_sim_options options;
  lua_settop(L, 1);
  simulation_read_options(L, 1, &options);
  simulation *s = lua_newuserdatauv(L, sizeof *s, 1);
  *s = (simulation){.seed = options.seed, .rates = options.rates};
  luaL_setmetatable(L, simulation_type);
  int err = os_sim_open(&options, &s->world);
  return err == 0 ? 1 : vm_push_error(L, err, NULL); /* uncovered: no memory just here */
}

static void simulation_open_type(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"load", simulation_load},           {"load_text", simulation_load_text}, {"turn", simulation_turn},
      {"now", simulation_now},             {"rates", simulation_rates},         {"listening", simulation_listening},
      {"connect", client_connect},         {"take_log", simulation_take_log},   {"trace", simulation_trace},
      {"hash", simulation_hash},           {"close", simulation_close},         {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__gc", simulation_collect}, {"__close", simulation_leave_scope}, {NULL, NULL}};
  luaL_newmetatable(L, simulation_type);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

static int simulation_open_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", simulation_open}, {NULL, NULL}};
  simulation_open_type(L);
  client_open_type(L);
  luaL_newlib(L, functions);
  return 1;
}

int simulation_preload(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, simulation_open_module);
  lua_setfield(L, -2, "portico.simulation");
  lua_pop(L, 1);
  return 0;
}
