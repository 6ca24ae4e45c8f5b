/* lua_api.c - all that scripts can call, as the input chooses: lua_api.lua does it in VMs over a simulated network, on
 * this thread and in virtual time. PORTICO_FUZZ_TRACE=1 prints each call. */
#include <string.h>

#include <lauxlib.h>

#include "fuzz.h"
#include "fuzz_scripts.h" /* made from lua_api.lua by the build */
#include "os/clock.h"
#include "os/sim.h"
#include "vm/inbox.h"
#include "vm/vm.h"

enum { API_STEPS = 400, API_STEPS_MAX = 20000 }; /* after so many packets it is stopped; until so many it has to end */

typedef struct api {
  const uint8_t *at;
  size_t         left;
  os_sim        *world;
  port          *port;
  logger         log;
  os_mutex       log_lock;
  runtime       *rt;
} api;

static unsigned api_choose(api *a, unsigned n) {
  unsigned value = 0;
  for (unsigned more = n - 1; more > 0 && a->left > 0; more >>= 8, a->left--) value = value << 8 | *a->at++;
  return value % n;
}

/* ---- what the script is given ---- */

static api *api_of(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int script_choose(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  lua_pushinteger(L, n < 1 ? 0 : api_choose(api_of(L), (unsigned)n));
  return 1;
}

static int script_left(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)api_of(L)->left);
  return 1;
}

static int script_fail(lua_State *L) {
  fprintf(stderr, "%s\n", lua_tostring(L, 1));
  abort();
}

static void api_furnish(api *a, lua_State *L) {
  static const luaL_Reg functions[] = {{"choose", script_choose}, {"left", script_left}, {"fail", script_fail}};
  for (unsigned i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    lua_pushlightuserdata(L, a);
    lua_pushcclosure(L, functions[i].func, 1);
    lua_setglobal(L, functions[i].name);
  }
  lua_pushboolean(L, getenv("PORTICO_FUZZ_TRACE") != NULL);
  lua_setglobal(L, "trace");
}

/* ---- errors: those that the script means to raise are "intended", {}, false or 7 ---- */

static bool api_meant(const char *text) {
  return strstr(text, "intended") != NULL || strstr(text, "(error object is a") != NULL ||
         strncmp(text, "7\n", 2) == 0 || strstr(text, ": 7\nstack traceback") != NULL;
}

static void api_on_log(const portico_log_record *record, void *arg) {
  (void)arg;
  if (strstr(record->text, "stack traceback") == NULL || api_meant(record->text)) return;
  fprintf(stderr, "logged: %s\n", record->text);
  abort();
}

static void api_lock_log(void *mutex) {
  os_mutex_lock(mutex);
}

static void api_unlock_log(void *mutex) {
  os_mutex_unlock(mutex);
}

static void api_on_idle(void *arg) {
  (void)arg;
}

/* ---- a run ---- */

static void api_open(api *a) {
  os_sim_options world = {.seed = api_choose(a, 256)};
  world.rates = (os_sim_rates){.delay = api_choose(a, 256) * 2000, .split = api_choose(a, 256) * 2000};
  if (api_choose(a, 4) == 3) world.rates.reset = world.rates.refuse = world.rates.descriptors = 50000;
  world.buffer_bytes = 1000 + api_choose(a, 256) * 256;
  REQUIRE(os_sim_open(&world, &a->world) == 0);
  os_sim_enter(a->world);
  REQUIRE(port_open(&(port_options){.backend = "sim", .concurrency = 1}, &a->port) == 0);
  os_mutex_init(&a->log_lock);
  a->log = (logger){.fn = api_on_log,
                    .clock = os_clock_now,
                    .lock = api_lock_log,
                    .unlock = api_unlock_log,
                    .mutex = &a->log_lock};
  runtime_options options = {.port = a->port,
                             .log = &a->log,
                             .vms = 1 + api_choose(a, 2),
                             .memory_bytes = 32 << 20,
                             .budget_ns = 100LL * OS_NS_PER_S,
                             .budget_signal = -1,
                             .on_idle = api_on_idle};
  REQUIRE(runtime_open(&options, &a->rt) == 0);
}

static void api_run_main(api *a, vm *v) {
  api_furnish(a, v->L);
  REQUIRE(vm_load(v, fuzz_scripts[0].text, fuzz_scripts[0].len, "=lua_api") == 0);
  if (vm_run_main(v, "lua_api", 0, NULL) == 0) return;
  char *why = vm_take_message(v);
  if (!api_meant(why)) {
    fprintf(stderr, "%s\n", why);
    abort();
  }
  free(why);
  runtime_stop(a->rt, 0);
}

/* What comes from outside of the script. */
static void api_disturb(api *a) {
  if (a->left == 0 || api_choose(a, 16) > 0) return;
  unsigned what = api_choose(a, 16);
  if (what < 14) inbox_post(a->rt, what % 2 == 0 ? "topic" : "x", "data", what % 5);
  else runtime_drain(a->rt, os_clock_now() + (int64_t)api_choose(a, 256) * OS_NS_PER_MS);
}

static void api_run(api *a) {
  runtime_hold(a->rt);
  for (unsigned i = 0; i < a->rt->options.vms; i++) api_run_main(a, a->rt->vms[i]);
  runtime_start(a->rt);
  runtime_release(a->rt);
  for (unsigned steps = 0; atomic_load(&a->rt->live) > 0; steps++) {
    port_packet packets[STRAND_BATCH];
    REQUIRE(steps < API_STEPS_MAX);
    if (steps == API_STEPS) runtime_stop(a->rt, 0);
    api_disturb(a);
    int n = port_get_run(a->port, packets, STRAND_BATCH, 20 * OS_NS_PER_MS);
    REQUIRE(n > 0 || n == PORTICO_ETIMEDOUT);
    if (n > 0) strand_deliver(packets[0].key, packets, (unsigned)n);
  }
}

static void api_close(api *a) {
  os_sim_stats world;
  port_packet  none;
  runtime_stop(a->rt, 0); /* as portico_wait does */
  while (atomic_load(&a->rt->live) > 0) {
    int n = port_get_run(a->port, &none, 1, OS_NS_PER_MS);
    if (n > 0) strand_deliver(none.key, &none, 1);
  }
  for (unsigned i = 0; i < a->rt->options.vms; i++) {
    REQUIRE(lua_gettop(a->rt->vms[i]->L) == VM_OBJECTS);
    REQUIRE(luaL_dostring(a->rt->vms[i]->L, "return require 'portico'.now() + 1") == LUA_OK);
    lua_settop(a->rt->vms[i]->L, VM_OBJECTS);
  }
  runtime_close(a->rt);
  REQUIRE(port_close(a->port, NULL, NULL) == 0);
  REQUIRE(port_get(a->port, &none, 1, 0) == PORTICO_ECLOSED);
  port_unref(a->port);
  os_sim_get_stats(a->world, &world);
  REQUIRE(world.sockets == 0 && world.stale_calls == 0);
  os_sim_leave();
  os_sim_close(a->world);
  os_mutex_fini(&a->log_lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  api a = {.at = data, .left = len};
  api_open(&a);
  api_run(&a);
  api_close(&a);
  return 0;
}
