/* server.c - one listener, many VMs. */
#include "vm/server.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "vm/connection.h"

enum { SERVER_RESOLVED_MAX = 8 };

static const char server_type[] = "portico.Listener";

/* What VM i + 1 registered. */
typedef struct server_member {
  handlers *handlers; /* NULL = not a member; the pointer is changed under lock, the handlers belong to the VM */
} server_member;

struct server {
  listener   net; /* control strand */
  runtime   *rt;
  completion start, close; /* on the control strand */
  char       url[ADDRESS_URL_BYTES]; /* with the real port; fixed */
  /* under rt->lock */
  server  *next;
  unsigned members;
  unsigned refs; /* in the list of the runtime, and one for each member's Lua object, accept or message on its way */
  bool     starting, closing; /* start, close was posted */
  server_member member[];     /* by VM; the asked URL follows */
};

static const char *server_asked(const server *s) {
  return (const char *)&s->member[s->rt->options.vms];
}

static void server_unref_and_unlock(server *s) {
  runtime *rt = s->rt;
  bool     last = --s->refs == 0;
  os_mutex_unlock(&rt->lock);
  if (last) free(s);
}

void server_unref(server *s) {
  os_mutex_lock(&s->rt->lock);
  server_unref_and_unlock(s);
}

/* ---- accepting, on the control strand ---- */

static vm *server_choose_locked(server *s) {
  vm    *best = NULL;
  size_t fewest = SIZE_MAX;
  for (unsigned i = 0; i < s->rt->options.vms; i++) {
    if (s->member[i].handlers == NULL) continue;
    size_t assigned = atomic_load_explicit(&s->rt->vms[i]->assigned, memory_order_relaxed);
    if (assigned >= fewest) continue;
    fewest = assigned;
    best = s->rt->vms[i];
  }
  return best;
}

static void server_on_accept(listener *l, os_socket socket, const os_addr *peer) {
  server *s = container_of(l, server, net);
  os_mutex_lock(&s->rt->lock);
  vm *v = server_choose_locked(s);
  if (v != NULL) s->refs++; /* for server_handlers */
  os_mutex_unlock(&s->rt->lock);
  if (v == NULL) os_socket_close(socket); /* the last member has just left */
  else connection_accept(v, s, socket, peer);
}

static void server_on_trouble(listener *l, int err) {
  server *s = container_of(l, server, net);
  if (err < 0) {
    log_write(runtime_log(s->rt), PORTICO_LOG_WARN, 0,
              "%s: cannot accept: %s; new connections wait until there is room", s->url, portico_error_text(err));
  } else {
    log_write(runtime_log(s->rt), PORTICO_LOG_INFO, 0, "%s: accepting again", s->url);
  }
}

static void server_on_closed(listener *l) {
  server  *s = container_of(l, server, net);
  runtime *rt = s->rt;
  log_write(runtime_log(rt), PORTICO_LOG_DEBUG, 0, "%s: closed", s->url);
  os_mutex_lock(&rt->lock);
  for (server **at = &rt->servers; *at != NULL; at = &(*at)->next) {
    if (*at != s) continue;
    *at = s->next;
    break;
  }
  server_unref_and_unlock(s);
  atomic_fetch_sub(&rt->listeners, 1);
  runtime_release(rt);
}

static const listener_handlers server_events = {
    .on_accept = server_on_accept, .on_trouble = server_on_trouble, .on_close = server_on_closed};

handlers *server_handlers(server *s, vm *v) {
  os_mutex_lock(&s->rt->lock);
  handlers *h = s->member[v->index - 1].handlers;
  server_unref_and_unlock(s);
  if (h != NULL) h->refs++;
  return h;
}

/* ---- start and close: messages to the control strand ---- */

static void server_on_start(completion *c) {
  server *s = container_of(c, server, start);
  if (s->net.state == LISTENER_OPEN) listener_start(&s->net);
  server_unref(s);
}

static void server_on_close(completion *c) {
  server *s = container_of(c, server, close);
  listener_close(&s->net);
  server_unref(s);
}

/* Sends start or close to the control strand, once. Gives the lock back. */
static void server_ask_and_unlock(server *s, bool *flag, completion *c, void (*run)(completion *c)) {
  runtime *rt = s->rt;
  bool     first = !*flag;
  *flag = true;
  if (first) s->refs++;
  os_mutex_unlock(&rt->lock);
  if (!first) return;
  c->run = run;
  if (strand_post(&rt->control, c) == 0) return;
  log_write(runtime_log(rt), PORTICO_LOG_ERROR, 0, "%s: out of memory to start or close it", s->url);
  os_mutex_lock(&rt->lock);
  *flag = false;
  server_unref_and_unlock(s);
}

void server_start_all(runtime *rt) {
  os_mutex_lock(&rt->lock);
  rt->started = true;
  os_mutex_unlock(&rt->lock);
  for (server *s = rt->servers; s != NULL; s = s->next) {
    os_mutex_lock(&rt->lock);
    server_ask_and_unlock(s, &s->starting, &s->start, server_on_start);
  }
}

void server_close_all(runtime *rt) {
  for (;;) {
    os_mutex_lock(&rt->lock);
    server *s = rt->servers;
    while (s != NULL && s->net.state == LISTENER_CLOSED) s = s->next; /* its last accept is on the way back */
    os_mutex_unlock(&rt->lock);
    if (s == NULL) return;
    listener_close(&s->net);
  }
}

/* ---- listening, on the strand of a VM ---- */

/* A server on the same URL that this VM has not joined yet. */
static server *server_find_locked(vm *v, const char *url) {
  for (server *s = v->rt->servers; s != NULL; s = s->next) {
    if (!s->closing && s->member[v->index - 1].handlers == NULL && strcmp(server_asked(s), url) == 0) return s;
  }
  return NULL;
}

static server *server_new(runtime *rt, const char *url) {
  size_t  len = strlen(url) + 1;
  size_t  members = rt->options.vms * sizeof(server_member);
  server *s = calloc(1, sizeof *s + members + len);
  if (s == NULL) return NULL;
  s->rt = rt;
  memcpy((char *)&s->member[rt->options.vms], url, len);
  return s;
}

/* Binds to the first address of the URL that can be bound. */
static int server_bind(server *s, vm *v, const address *a, const listener_options *options) {
  os_addr to[SERVER_RESOLVED_MAX];
  vm_block_enter(v); /* a name may take its time */
  int found = address_resolve(a, to, SERVER_RESOLVED_MAX);
  port_block_leave();
  int err = found;
  for (int i = 0; i < found; i++) {
    err = listener_open(&s->net, s->rt->options.port, &s->rt->control, &to[i], options, &server_events);
    if (err == 0) break;
  }
  if (err == 0) address_format(&s->net.at, s->url);
  return err;
}

/* Joins or opens the server of a URL. On success it holds the handlers, and *out_server has a reference. */
static int server_join(vm *v, const char *url, const address *a, handlers *h, server **out_server) {
  runtime *rt = v->rt;
  os_mutex_lock(&rt->lock);
  server *s = server_find_locked(v, url);
  if (s == NULL) {
    os_mutex_unlock(&rt->lock);
    s = server_new(rt, url);
    int err = s == NULL ? PORTICO_ENOMEM : server_bind(s, v, a, &h->kernel);
    if (err < 0) {
      free(s);
      return err;
    }
    runtime_hold(rt);
    atomic_fetch_add(&rt->listeners, 1);
    os_mutex_lock(&rt->lock);
    server **last = &rt->servers; /* at the end: VMs that listen on one URL twice find them in the same order */
    while (*last != NULL) last = &(*last)->next;
    *last = s;
    s->refs = 1;
  }
  s->member[v->index - 1].handlers = h;
  s->members++;
  s->refs++;
  *out_server = s;
  if (rt->started && !s->starting) server_ask_and_unlock(s, &s->starting, &s->start, server_on_start);
  else os_mutex_unlock(&rt->lock);
  return 0;
}

/* ---- the Lua type: a pointer with a reference, given back by the collector ---- */

static int server_refuse(lua_State *L, const char *url, int err) {
  const char *hint = err == PORTICO_EADDRINUSE ? " (another program, or this one, listens there: choose another port)"
                     : err == PORTICO_EACCES   ? " (ports below 1024 need a privilege)"
                                               : "";
  lua_pushfstring(L, "cannot listen on %s: %s%s", url, portico_error_text(err), hint);
  return vm_push_error(L, err, lua_tostring(L, -1));
}

int server_listen(lua_State *L) {
  const char *url = luaL_checkstring(L, 1);
  vm         *v = vm_of(L);
  address     a;
  char        why[ADDRESS_WHY_BYTES];
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  int err = address_parse(url, &a, why);
  if (err < 0) return vm_push_error(L, err, why);
  if (runtime_ending(v->rt)) return vm_push_error(L, PORTICO_ECLOSED, "the program is ending");
  server **object = lua_newuserdatauv(L, sizeof *object, 0);
  *object = NULL;
  luaL_setmetatable(L, server_type);
  handlers *h = handlers_read(L, 2, url, true);
  err = server_join(v, url, &a, h, object);
  if (err == 0) return 1;
  handlers_unref(h);
  return server_refuse(L, url, err);
}

static server *server_check(lua_State *L) {
  server **object = luaL_checkudata(L, 1, server_type);
  return *object;
}

/* listener:close() -> true | nil, message, code */
static int server_leave(lua_State *L) {
  server *s = server_check(L);
  vm     *v = vm_of(L);
  os_mutex_lock(&s->rt->lock);
  server_member *m = &s->member[v->index - 1];
  handlers      *h = m->handlers;
  m->handlers = NULL;
  if (h != NULL && --s->members == 0) server_ask_and_unlock(s, &s->closing, &s->close, server_on_close);
  else os_mutex_unlock(&s->rt->lock);
  if (h == NULL) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  handlers_unref(h);
  lua_pushboolean(L, 1);
  return 1;
}

static int server_collect(lua_State *L) {
  server **object = luaL_checkudata(L, 1, server_type);
  if (*object != NULL) server_unref(*object); /* goes on listening: only close ends it */
  *object = NULL;
  return 0;
}

static int server_index(lua_State *L) {
  const server *s = server_check(L);
  const char   *name = luaL_checkstring(L, 2);
  if (strcmp(name, "url") == 0) lua_pushstring(L, s->url);
  else if (strcmp(name, "close") == 0) lua_pushcfunction(L, server_leave);
  else lua_pushnil(L);
  return 1;
}

static int server_tostring(lua_State *L) {
  lua_pushfstring(L, "portico.Listener (%s)", server_check(L)->url);
  return 1;
}

void server_open_type(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"__index", server_index}, {"__gc", server_collect}, {"__tostring", server_tostring}, {NULL, NULL}};
  luaL_newmetatable(L, server_type);
  luaL_setfuncs(L, methods, 0);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}
