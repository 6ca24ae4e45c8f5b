/* simulation_client.c - a socket that says what the network said, for tests that mean to see it. */
#include "host/simulation_client.h"

#include <lauxlib.h>
#include <string.h>

#include "base/error.h"
#include "os/socket.h"
#include "vm/vm.h"

enum { RECEIVE_BYTES = 64 * 1024, RECEIVE_BYTES_MAX = 16 * 1024 * 1024 };

static const char client_type[] = "portico.SimulatedClient";

/* The userdata; its user value is the simulation, which it keeps. */
struct client {
  simulation *simulation;
  os_socket   socket; /* OS_SOCKET_NONE: closed */
  bool        connected;
  int         failed; /* why the connect did, or 0 */
  client     *next, *prev; /* of the simulation */
};

/* ---- life ---- */

static void client_link(client *c) {
  simulation *s = c->simulation;
  c->next = s->clients;
  if (c->next != NULL) c->next->prev = c;
  s->clients = c;
}

/* In the world, and open. */
static void client_end(client *c, bool reset) {
  if (reset) os_socket_set_reset_on_close(c->socket);
  os_socket_close(c->socket);
  c->socket = OS_SOCKET_NONE;
  if (c->next != NULL) c->next->prev = c->prev;
  if (c->prev != NULL) c->prev->next = c->next;
  else c->simulation->clients = c->next;
  c->next = c->prev = NULL;
}

void client_close_all(simulation *s) {
  while (s->clients != NULL) client_end(s->clients, false);
}

/* In the world. result: 0, or an error that came at once */
static int client_start(client *c, const char *host, uint16_t number) {
  os_addr   to;
  os_socket socket;
  int       err = os_resolve(host, number, &to, 1);
  if (err < 0) return err;
  err = os_socket_open(OS_TCP, &to, &socket);
  if (err < 0) return err;
  err = os_socket_connect(socket, &to);
  if (err < 0 && err != PORTICO_EAGAIN) {
    os_socket_close(socket);
    return err;
  }
  c->socket = socket;
  client_link(c);
  return 0;
}

int client_connect(lua_State *L) {
  simulation *s = simulation_check(L);
  const char *host = luaL_checkstring(L, 2);
  lua_Integer number = luaL_checkinteger(L, 3);
  luaL_argcheck(L, number >= 1 && number <= UINT16_MAX, 3, "a port number is 1 to 65535");
  client *c = lua_newuserdatauv(L, sizeof *c, 1);
  *c = (client){.simulation = s, .socket = OS_SOCKET_NONE};
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, client_type);
  os_sim *before = simulation_enter(s);
  int     err = client_start(c, host, (uint16_t)number);
  simulation_leave(before);
  return err < 0 ? vm_push_error(L, err, NULL) : 1;
}

/* ---- methods ---- */

static client *client_check(lua_State *L) {
  return luaL_checkudata(L, 1, client_type);
}

/* In the world, and open. result: 1 = connected, 0 = not yet, or why it failed */
static int client_look(client *c) {
  if (c->connected || c->failed < 0) return c->connected ? 1 : c->failed;
  if (os_socket_wait(c->socket, OS_WRITABLE, 0) < 0) return 0;
  c->failed = os_socket_take_error(c->socket);
  if (c->failed < 0) return c->failed;
  c->connected = os_socket_was_connected(c->socket);
  return c->connected ? 1 : 0;
}

/* client:connected() -> true | false (not yet) | nil, message, code */
static int client_connected(lua_State *L) {
  client *c = client_check(L);
  if (c->socket == OS_SOCKET_NONE) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  os_sim *before = simulation_enter(c->simulation);
  int     is = client_look(c);
  simulation_leave(before);
  if (is < 0) return vm_push_error(L, is, NULL);
  lua_pushboolean(L, is);
  return 1;
}

/* client:send(bytes) -> how many were taken; 0 = no room now, or not yet connected | nil, message, code */
static int client_send(lua_State *L) {
  client     *c = client_check(L);
  size_t      len;
  const char *data = luaL_checklstring(L, 2, &len);
  if (c->socket == OS_SOCKET_NONE) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  os_sim *before = simulation_enter(c->simulation);
  int64_t n = client_look(c);
  if (n > 0) n = len == 0 ? 0 : os_socket_send(c->socket, data, len);
  simulation_leave(before);
  if (n == PORTICO_EAGAIN) n = 0;
  if (n < 0) return vm_push_error(L, (int)n, NULL);
  lua_pushinteger(L, n);
  return 1;
}

/* client:receive([max]) -> bytes | nil, "EAGAIN" | nil, "END" | nil, message, code */
static int client_receive(lua_State *L) {
  client     *c = client_check(L);
  lua_Integer max = luaL_optinteger(L, 2, RECEIVE_BYTES);
  luaL_argcheck(L, max >= 1 && max <= RECEIVE_BYTES_MAX, 2, "out of range");
  if (c->socket == OS_SOCKET_NONE) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  luaL_Buffer data;
  char       *room = luaL_buffinitsize(L, &data, (size_t)max);
  os_sim     *before = simulation_enter(c->simulation);
  int64_t     n = client_look(c);
  if (n >= 0) n = n == 0 ? PORTICO_EAGAIN : os_socket_recv(c->socket, room, (size_t)max);
  simulation_leave(before);
  luaL_pushresultsize(&data, n > 0 ? (size_t)n : 0);
  if (n > 0) return 1;
  if (n < 0 && n != PORTICO_EAGAIN) return vm_push_error(L, (int)n, NULL);
  lua_pushnil(L);
  lua_pushstring(L, n == 0 ? "END" : "EAGAIN");
  return 2;
}

/* client:finish() -> true | nil, message, code: sends no more; the program sees the end after all sent bytes */
static int client_finish(lua_State *L) {
  client *c = client_check(L);
  if (c->socket == OS_SOCKET_NONE) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  os_sim *before = simulation_enter(c->simulation);
  int     err = os_socket_shutdown_send(c->socket);
  simulation_leave(before);
  if (err < 0) return vm_push_error(L, err, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static int client_leave(lua_State *L, bool reset) {
  client *c = client_check(L);
  if (c->socket == OS_SOCKET_NONE) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  os_sim *before = simulation_enter(c->simulation);
  client_end(c, reset);
  simulation_leave(before);
  lua_pushboolean(L, 1);
  return 1;
}

/* client:close() -> true | nil, message, code. With unread bytes the program sees a reset, as from a kernel */
static int client_close(lua_State *L) {
  return client_leave(L, false);
}

/* client:reset() -> true | nil, message, code: closes so that the program sees a reset */
static int client_reset(lua_State *L) {
  return client_leave(L, true);
}

static int client_collect(lua_State *L) {
  client_leave(L, false);
  return 0;
}

static int client_tostring(lua_State *L) {
  const client *c = client_check(L);
  lua_pushfstring(L, "%s (%s)", client_type, c->socket == OS_SOCKET_NONE ? "closed" : "open");
  return 1;
}

void client_open_type(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"connected", client_connected}, {"send", client_send},   {"receive", client_receive}, {"finish", client_finish},
      {"close", client_close},         {"reset", client_reset}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
      {"__gc", client_collect}, {"__close", client_collect}, {"__tostring", client_tostring}, {NULL, NULL}};
  luaL_newmetatable(L, client_type);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
