/* connection.c - what a script can do with a connection, and what a connection does to a script.
 *
 * Lua holds a table with the slot id at index 0; the C side may be gone, then every method answers "closed". It is a
 * table, not a userdata, so that scripts keep what is theirs in fields, and so that it can keep the methods that it was
 * asked for: a userdata would have to call into C for each. Whoever overwrites the id gets "closed" or another
 * connection of the same VM, nothing worse.
 *
 * The objects of live connections are kept in the table at VM_OBJECTS, by slot index, so that each event finds the same
 * object quickly. */
#include "vm/connection.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "vm/recording.h"
#include "vm/server.h"

enum { CONNECTION_ID = 0, CONNECTION_RESOLVED_MAX = 8 };
enum { CONNECTION_FIELDS = 2 }; /* room in a new object: its id, and `send`, which nearly every handler asks for */
enum { ARRIVALS_HANDLER = 1 }; /* stack index in connection_run_arrivals: on_data of the last receiver */

static const char connection_type[] = "portico.Connection";

typedef struct connection connection;
struct connection {
  slot_id     id;
  const void *object; /* address of its Lua object, which stays as long as it is in the table of objects */
  recording  *recording; /* NULL = none */
  stream      stream; /* beside what each message touches, too */
  os_addr     peer;
};

static connection *connection_of(stream *s) {
  return container_of(s, connection, stream);
}

static handlers *connection_handlers(const connection *c) {
  return container_of(c->stream.group, handlers, group);
}

static vm *connection_vm(const connection *c) {
  return connection_handlers(c)->vm;
}

static int connection_place(slot_id id) {
  return (int)(uint32_t)id + 1; /* index in the table of objects */
}

/* Only the first and the last of a VM are news to the runtime: the rest is counted without disturbing other VMs. */
static void connection_count(vm *v) {
  if (atomic_fetch_add(&v->assigned, 1) == 0) runtime_hold_connected(v->rt);
}

static void connection_uncount(vm *v) {
  size_t before = atomic_fetch_sub(&v->assigned, 1);
  CHECK(before > 0);
  if (before == 1) runtime_release_connected(v->rt);
}

/* ---- events: from the stream to Lua ---- */

static void connection_push(connection *c) {
  lua_rawgeti(connection_vm(c)->L, VM_OBJECTS, connection_place(c->id));
}

static int connection_call(connection *c, handler_event event, int args) {
  return vm_call(connection_vm(c), args, handlers_name(event), connection_handlers(c)->where);
}

/* A handler that raised an error costs this connection, nothing else. */
static void connection_check(connection *c, int err) {
  if (err < 0) stream_abort(&c->stream, err);
}

/* Calls a handler that takes only the connection. False if the script has none. */
static bool connection_tell(connection *c, handler_event event) {
  if (!handlers_push(connection_handlers(c), event)) return false;
  connection_push(c);
  connection_check(c, connection_call(c, event, 1));
  return true;
}

static void connection_on_open(stream *s) {
  connection *c = connection_of(s);
  os_socket_peer(port_handle_socket(s->handle), &c->peer); /* one of several, if it was a name */
  recording_note(c->recording, "open");
  connection_tell(c, ON_OPEN);
}

/* Inside connection_run_arrivals: leaves by a jump when the handler raises an error. */
static void connection_on_data(stream *s, const void *data, size_t len) {
  connection *c = connection_of(s);
  vm         *v = connection_vm(c);
  lua_State  *L = v->L;
  if (c->recording != NULL) recording_received(c->recording, data, len);
  if (v->receiver == NULL || v->receiver->stream.group != c->stream.group) {
    if (!handlers_push(connection_handlers(c), ON_DATA)) return;
    lua_replace(L, ARRIVALS_HANDLER);
    vm_name_calls(v, handlers_name(ON_DATA), connection_handlers(c)->where);
  }
  v->receiver = c;
  vm_enter(v);
  lua_pushvalue(L, ARRIVALS_HANDLER);
  connection_push(c);
  lua_pushlstring(L, data, len);
  lua_call(L, 2, 0);
  vm_leave(v);
}

/* Runs protected: (anything, the table of objects), so that both stacks have that table at VM_OBJECTS. */
static int connection_run_arrivals(lua_State *L) {
  turn_deliver(&vm_of(L)->turn);
  return 0;
}

void connection_deliver(turn *t) {
  vm        *v = container_of(t, vm, turn);
  lua_State *L = v->L;
  for (;;) {
    lua_pushcfunction(L, connection_run_arrivals);
    lua_pushnil(L);
    lua_pushvalue(L, VM_OBJECTS);
    int         status = lua_pcall(L, 2, 0, VM_TRACEBACK);
    connection *c = v->receiver;
    v->receiver = NULL;
    if (status == LUA_OK) return;
    CHECK(c != NULL); /* nothing else can fail in there */
    vm_leave(v);
    vm_log_error(v, handlers_name(ON_DATA), connection_handlers(c)->where);
    connection_check(c, PORTICO_ESCRIPT);
  }
}

static int connection_finish(connection *c) {
  int err = stream_shutdown(&c->stream);
  if (err == 0) recording_note(c->recording, "shutdown");
  return err;
}

static void connection_on_end(stream *s) {
  connection *c = connection_of(s);
  recording_note(c->recording, "received-end");
  if (!connection_tell(c, ON_END)) connection_finish(c); /* without a wish of its own the script is done, too */
}

static void connection_on_drain(stream *s) {
  connection_tell(connection_of(s), ON_DRAIN);
}

/* Runs protected: (handler, connection object, err as an integer). */
static int connection_push_end(lua_State *L) {
  int err = (int)lua_tointeger(L, 3);
  lua_settop(L, 2);
  if (err == 0) {
    lua_call(L, 1, 0);
    return 0;
  }
  lua_pushstring(L, portico_error_text(err));
  lua_pushstring(L, portico_error_name(err));
  lua_call(L, 3, 0);
  return 0;
}

static void connection_free(connection *c) {
  vm *v = connection_vm(c);
  lua_pushnil(v->L);
  lua_rawseti(v->L, VM_OBJECTS, connection_place(c->id)); /* an existing key: needs no memory */
  slots_remove(&v->connections, c->id);
  handlers_unref(connection_handlers(c));
  free(c);
  connection_uncount(v);
}

static void connection_on_close(stream *s, int err) {
  connection *c = connection_of(s);
  lua_State  *L = connection_vm(c)->L;
  recording_close(c->recording, err);
  c->recording = NULL;
  lua_pushcfunction(L, connection_push_end);
  if (handlers_push(connection_handlers(c), ON_CLOSE)) {
    connection_push(c);
    lua_pushinteger(L, err);
    connection_call(c, ON_CLOSE, 3); /* an error in here was logged; there is nothing left to close */
  } else {
    lua_pop(L, 1);
  }
  connection_free(c);
}

const stream_handlers connection_events = {
    .on_open = connection_on_open,
    .on_data = connection_on_data,
    .on_end = connection_on_end,
    .on_drain = connection_on_drain,
    .on_close = connection_on_close,
};

/* ---- opening ---- */

/* Runs protected: (light userdata of the connection). Its object goes into the table of objects. */
static int connection_make_object(lua_State *L) {
  connection *c = lua_touserdata(L, 1);
  lua_createtable(L, 0, CONNECTION_FIELDS);
  c->object = lua_topointer(L, -1);
  lua_pushinteger(L, (lua_Integer)c->id);
  lua_rawseti(L, -2, CONNECTION_ID);
  luaL_setmetatable(L, connection_type);
  lua_rawgetp(L, LUA_REGISTRYINDEX, connection_type);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, connection_place(c->id));
  return 0;
}

/* Gives a new connection its slot and its object. On failure nothing is left of either. */
static int connection_register(connection *c, lua_State *L) {
  vm *v = connection_vm(c);
  int err = slots_add(&v->connections, c, &c->id);
  if (err < 0) return err;
  lua_pushcfunction(L, connection_make_object);
  lua_pushlightuserdata(L, c);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return 0; /* uncovered: Lua has memory in reserve, but for the sanitizers */
  lua_pop(L, 1);                                 /* uncovered: as above */
  slots_remove(&v->connections, c->id);          /* uncovered: as above */
  return PORTICO_ENOMEM;                         /* uncovered: as above */
}

/* Makes a connection with its slot and object; the reference to the handlers goes to it.
 * errors   ENOMEM (the handlers are given back) */
static int connection_new(handlers *h, lua_State *L, connection **out_c) {
  connection *c = calloc(1, sizeof *c);
  int         err = PORTICO_ENOMEM;
  if (c != NULL) {
    stream_init(&c->stream, &h->group);
    err = connection_register(c, L);
  }
  if (err == 0) {
    *out_c = c;
    return 0;
  }
  free(c);
  handlers_unref(h);
  return err;
}

/* An accepted socket on its way to the strand of its VM. */
typedef struct connection_arrival {
  completion c; /* first */
  vm        *vm;
  server    *from;
  os_socket  socket;
  os_addr    peer;
} connection_arrival;

static int connection_open(vm *v, handlers *h, os_socket socket, const os_addr *peer) {
  connection *c;
  int         err = connection_new(h, v->L, &c);
  if (err < 0) {
    os_socket_close(socket);
    return err;
  }
  c->peer = *peer;
  c->recording = recording_open(v, RECORDING_ACCEPTED, h->where, peer);
  os_socket_set_nodelay(socket, h->nodelay);
  err = stream_open(&c->stream, socket);
  if (err < 0) stream_fail(&c->stream, err);
  else connection_tell(c, ON_OPEN);
  return 0;
}

static void connection_drop(vm *v, int err) {
  if (err < 0) {
    log_write(runtime_log(v->rt), PORTICO_LOG_WARN, v->index, "connection dropped: %s", portico_error_text(err));
  }
  connection_uncount(v);
}

/* On the VM's strand: the rest of connection_accept. */
static void connection_on_accepted(completion *first) {
  connection_arrival *a = (connection_arrival *)first;
  vm                 *v = a->vm;
  handlers           *h = server_handlers(a->from, v); /* NULL: the script closed its listener meanwhile */
  int                 err = 0;
  if (h != NULL && !runtime_stopping(v->rt)) { /* uncovered: race: the listener or the program has just ended */
    err = connection_open(v, h, a->socket, &a->peer);
  } else {
    os_socket_close(a->socket);
    if (h != NULL) handlers_unref(h); /* uncovered: race: as above */
    connection_drop(v, 0);
  }
  if (err < 0) connection_drop(v, err);
  free(a);
}

void connection_accept(vm *v, server *from, os_socket socket, const os_addr *peer) {
  connection_arrival *a = malloc(sizeof *a);
  connection_count(v);
  if (a != NULL) {
    *a = (connection_arrival){.c.run = connection_on_accepted, .vm = v, .from = from, .socket = socket, .peer = *peer};
    strand_post(&v->strand, &a->c);
    return;
  }
  os_socket_close(socket);
  server_unref(from);
  connection_drop(v, PORTICO_ENOMEM);
}

void connection_admit(vm *v, handlers *h, os_socket socket, const os_addr *peer) {
  connection_count(v); /* before the look: then a drain waits for this one, or we see the drain */
  if (runtime_ending(v->rt)) { /* uncovered: race: a drain begins while the client is accepted */
    os_socket_close(socket);
    handlers_unref(h);
    connection_drop(v, 0);
    return;
  }
  int err = connection_open(v, h, socket, peer);
  if (err < 0) connection_drop(v, err);
}

/* ---- connecting ---- */

/* A name on its way to addresses: looked up on the resolving strand, used on the VM's. Freed there. */
typedef struct connection_lookup {
  completion c;
  vm        *vm;
  slot_id    id;
  address    name;
  int        found; /* addresses, or an error */
  os_addr    to[CONNECTION_RESOLVED_MAX];
} connection_lookup;

static void connection_begin(connection *c, const os_addr *to, int found) {
  int err = found;
  if (found > 0) err = stream_connect(&c->stream, to, (unsigned)found, handlers_set_socket, connection_handlers(c));
  if (err < 0) stream_fail(&c->stream, err);
}

static void connection_on_found(completion *first) {
  connection_lookup *l = (connection_lookup *)first;
  connection        *c = slots_find(&l->vm->connections, l->id);
  bool wanted = c != NULL && c->stream.state == STREAM_CONNECTING; /* uncovered: race: closed, and not yet gone */
  if (wanted) connection_begin(c, l->to, l->found);
  runtime *rt = l->vm->rt;
  free(l);
  runtime_release(rt);
}

static void connection_on_lookup(completion *first) {
  connection_lookup *l = (connection_lookup *)first;
  port_block_enter();
  l->found = PORTICO_ECANCELED;
  bool wanted = !runtime_stopping(l->vm->rt); /* uncovered: race: the program may stop while it waits its turn */
  if (wanted) l->found = address_resolve(&l->name, l->to, CONNECTION_RESOLVED_MAX);
  port_block_leave();
  l->c.run = connection_on_found;
  strand_post(&l->vm->strand, &l->c);
}

static int connection_look_up(connection *c, const address *to) {
  connection_lookup *l = calloc(1, sizeof *l);
  if (l == NULL) return PORTICO_ENOMEM;
  l->c.run = connection_on_lookup;
  l->vm = connection_vm(c);
  l->id = c->id;
  l->name = *to;
  runtime *rt = l->vm->rt;
  runtime_hold(rt);
  strand_post(&rt->resolving, &l->c);
  return 0;
}

int connection_connect(lua_State *L, handlers *h, const address *to) {
  vm         *v = vm_of(L);
  connection *c;
  int         err = connection_new(h, L, &c);
  if (err < 0) return err;
  connection_count(v);
  bool numeric = address_numeric(to, &c->peer);
  c->recording = recording_open(v, RECORDING_OUTGOING, h->where, &c->peer);
  if (numeric) connection_begin(c, &c->peer, 1);
  else if ((err = connection_look_up(c, to)) < 0) stream_fail(&c->stream, err);
  lua_rawgetp(L, LUA_REGISTRYINDEX, connection_type);
  lua_rawgeti(L, -1, connection_place(c->id));
  lua_remove(L, -2);
  return 0;
}

void connection_sweep(vm *v, bool abort) {
  for (uint32_t i = 0; i < v->connections.used; i++) {
    connection *c = slots_at(&v->connections, i);
    if (c == NULL) continue;
    if (abort) stream_abort(&c->stream, PORTICO_ECANCELED);
    else stream_close(&c->stream);
  }
}

/* ---- methods: from Lua to the stream ---- */

/* The connection at index 1, or NULL if it is gone. Its id may be left on the stack: taking it off would cost more. */
static connection *connection_check_arg(lua_State *L) {
  vm *v = vm_of(L);
  if (v->receiver != NULL && lua_topointer(L, 1) == v->receiver->object) return v->receiver; /* as nearly always */
  if (lua_type(L, 1) != LUA_TTABLE || lua_rawgeti(L, 1, CONNECTION_ID) != LUA_TNUMBER) {
    luaL_typeerror(L, 1, connection_type);
  }
  return slots_find(&v->connections, (slot_id)lua_tointeger(L, -1));
}

static int connection_answer(lua_State *L, int err) {
  if (err < 0) return vm_push_error(L, err, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static int connection_queue(connection *c, const char *data, size_t len) {
  int err = stream_send(&c->stream, data, len);
  if (c->recording != NULL && (err == 0 || err == PORTICO_EAGAIN)) recording_sent(c->recording, data, len);
  return err;
}

/* conn:send(data, ...) -> true | false | nil, message, code */
static int connection_send(lua_State *L) {
  int         last = lua_gettop(L);
  connection *c = connection_check_arg(L);
  if (last < 2) return luaL_error(L, "send: nothing to send (give it strings)");
  size_t      len;
  const char *data = lua_tolstring(L, 2, &len);
  if (data == NULL) luaL_checkstring(L, 2); /* says what is wrong */
  for (int i = 3; i <= last; i++) luaL_checkstring(L, i); /* all or nothing */
  if (c == NULL) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  int err = connection_queue(c, data, len);
  for (int i = 3; i <= last && (err == 0 || err == PORTICO_EAGAIN); i++) {
    data = lua_tolstring(L, i, &len);
    err = connection_queue(c, data, len);
  }
  if (err < 0 && err != PORTICO_EAGAIN) return vm_push_error(L, err, NULL);
  lua_pushboolean(L, err == 0);
  return 1;
}

static int connection_shutdown(lua_State *L) {
  connection *c = connection_check_arg(L);
  return connection_answer(L, c == NULL ? PORTICO_ECLOSED : connection_finish(c));
}

static int connection_close(lua_State *L) {
  connection *c = connection_check_arg(L);
  int         err = c == NULL ? PORTICO_ECLOSED : stream_close(&c->stream);
  if (err == 0) recording_note(c->recording, "close");
  return connection_answer(L, err);
}

static int connection_abort(lua_State *L) {
  connection *c = connection_check_arg(L);
  int         err = c == NULL ? PORTICO_ECLOSED : stream_abort(&c->stream, PORTICO_ECANCELED);
  if (err == 0) recording_note(c->recording, "abort");
  return connection_answer(L, err);
}

static int connection_tostring(lua_State *L) {
  const connection *c = connection_check_arg(L);
  char              url[ADDRESS_URL_BYTES] = "closed";
  if (c != NULL) address_format(&c->peer, url);
  lua_pushfstring(L, "%s (%s)", connection_type, url);
  return 1;
}

/* ---- fields ---- */

typedef enum connection_field { FIELD_ID = 1, FIELD_PEER, FIELD_OWN, FIELD_PENDING } connection_field;

static const struct {
  const char      *name;
  connection_field field;
} connection_fields[] = {
    {"id", FIELD_ID},
    {"peer", FIELD_PEER},
    {"local", FIELD_OWN}, /* a keyword: conn["local"] */
    {"own", FIELD_OWN},
    {"pending", FIELD_PENDING},
};

static void connection_push_address(lua_State *L, const os_addr *a) {
  char url[ADDRESS_URL_BYTES];
  address_format(a, url);
  lua_pushstring(L, url);
}

/* Asked for when wanted: few scripts do. */
static void connection_push_own(lua_State *L, const connection *c) {
  os_addr own;
  if (c->stream.handle == NULL || os_socket_local(port_handle_socket(c->stream.handle), &own) < 0) lua_pushnil(L);
  else connection_push_address(L, &own);
}

static int connection_push_field(lua_State *L, connection_field field) {
  const connection *c = connection_check_arg(L);
  if (field == FIELD_ID) lua_rawgeti(L, 1, CONNECTION_ID);
  else if (c == NULL) lua_pushnil(L);
  else if (field == FIELD_PENDING) lua_pushinteger(L, (lua_Integer)c->stream.out.bytes);
  else if (field == FIELD_PEER) connection_push_address(L, &c->peer);
  else connection_push_own(L, c);
  return 1;
}

/* conn.name, if the object has no such field of its own. Upvalue 1 maps names to methods, or to the number of a field.
 * A method is put into the object, where the next call finds it without coming here. */
static int connection_index(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  int type = lua_rawget(L, lua_upvalueindex(1));
  if (type == LUA_TNUMBER) return connection_push_field(L, (connection_field)lua_tointeger(L, -1));
  if (type == LUA_TNIL) return 1;
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_rawset(L, 1);
  return 1;
}

void connection_push_objects(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, connection_type);
}

void connection_open_type(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"send", connection_send},   {"shutdown", connection_shutdown}, {"close", connection_close},
      {"abort", connection_abort}, {NULL, NULL},
  };
  lua_newtable(L); /* the objects, also at VM_OBJECTS */
  lua_rawsetp(L, LUA_REGISTRYINDEX, connection_type);
  luaL_newmetatable(L, connection_type);
  luaL_newlib(L, methods);
  for (size_t i = 0; i < sizeof connection_fields / sizeof connection_fields[0]; i++) {
    lua_pushinteger(L, connection_fields[i].field);
    lua_setfield(L, -2, connection_fields[i].name);
  }
  lua_pushcclosure(L, connection_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, connection_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable"); /* scripts do not get at it */
  lua_pop(L, 1);
}
