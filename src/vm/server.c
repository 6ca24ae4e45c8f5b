/* server.c - one listener for many VMs, or one for each. */
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

/* What a member registered. */
typedef struct server_member {
  handlers *handlers; /* NULL = not a member. The VM changes it under rt->lock, and may read it without */
} server_member;

struct server {
  listener   net;          /* on its strand, see server_strand */
  completion start, close; /* messages to its strand */
  server    *next_to_close; /* control strand */
  /* fixed */
  runtime *rt;
  vm      *owner;                  /* NULL = shared */
  char     url[ADDRESS_URL_BYTES]; /* with the real port */
  /* under rt->lock */
  server  *next; /* among those that listen */
  server  *next_made, *prev_made; /* among all */
  unsigned members;
  unsigned refs; /* in the list of the runtime, and one for each member's Lua object, accept or message on its way */
  bool     starting, closing; /* start, close was posted */
  server_member member[];     /* of the owner, or by VM; the asked URL follows */
};

static unsigned server_members_max(const server *s) {
  return s->owner != NULL ? 1 : s->rt->options.vms;
}

/* Only for a VM that may be a member. */
static server_member *server_member_of(server *s, const vm *v) {
  DCHECK(s->owner == NULL || s->owner == v);
  return &s->member[s->owner != NULL ? 0 : v->index - 1];
}

static const char *server_asked(const server *s) {
  return (const char *)&s->member[server_members_max(s)];
}

/* Who accepts. */
static strand *server_strand(server *s) {
  return s->owner != NULL ? &s->owner->strand : &s->rt->control;
}

/* For the log: which VM a line is about. */
static unsigned server_vm_number(const server *s) {
  return s->owner != NULL ? s->owner->index : 0;
}

static void server_free_and_unlock(server *s) {
  runtime *rt = s->rt;
  if (s->next_made != NULL) s->next_made->prev_made = s->prev_made;
  if (s->prev_made != NULL) s->prev_made->next_made = s->next_made;
  else rt->servers_made = s->next_made;
  os_mutex_unlock(&rt->lock);
  free(s);
}

static void server_unref_and_unlock(server *s) {
  if (--s->refs == 0) server_free_and_unlock(s);
  else os_mutex_unlock(&s->rt->lock);
}

void server_unref(server *s) {
  os_mutex_lock(&s->rt->lock);
  server_unref_and_unlock(s);
}

/* ---- accepting, on the server's strand ---- */

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

static void server_on_accept_shared(listener *l, os_socket socket, const os_addr *peer) {
  server *s = container_of(l, server, net);
  os_mutex_lock(&s->rt->lock);
  vm *v = server_choose_locked(s); /* with a reference to s, for server_handlers */
  if (v != NULL) s->refs++;        /* uncovered: race: as below */
  os_mutex_unlock(&s->rt->lock);
  if (v == NULL) os_socket_close(socket); /* uncovered: race: the last member has just left */
  else connection_accept(v, s, socket, peer);
}

static void server_on_accept_own(listener *l, os_socket socket, const os_addr *peer) {
  server   *s = container_of(l, server, net);
  handlers *h = server_member_of(s, s->owner)->handlers; /* it has not left: that closes the listener at once */
  h->refs++;
  connection_admit(s->owner, h, socket, peer);
}

static void server_on_trouble(listener *l, int err) {
  server *s = container_of(l, server, net);
  if (err < 0) {
    log_write(runtime_log(s->rt), PORTICO_LOG_WARN, server_vm_number(s),
              "%s: cannot accept: %s; new connections wait until there is room", s->url, portico_error_text(err));
  } else {
    log_write(runtime_log(s->rt), PORTICO_LOG_INFO, server_vm_number(s), "%s: accepting again", s->url);
  }
}

static void server_on_closed(listener *l) {
  server  *s = container_of(l, server, net);
  runtime *rt = s->rt;
  log_write(runtime_log(rt), PORTICO_LOG_DEBUG, server_vm_number(s), "%s: closed", s->url);
  os_mutex_lock(&rt->lock);
  server **at = &rt->servers;
  while (*at != s) at = &(*at)->next;
  *at = s->next;
  server_unref_and_unlock(s);
  atomic_fetch_sub(&rt->listeners, 1);
  runtime_release(rt);
}

static const listener_handlers server_events_shared = {
    .on_accept = server_on_accept_shared, .on_trouble = server_on_trouble, .on_close = server_on_closed};
static const listener_handlers server_events_own = {
    .on_accept = server_on_accept_own, .on_trouble = server_on_trouble, .on_close = server_on_closed};

handlers *server_handlers(server *s, vm *v) {
  os_mutex_lock(&s->rt->lock);
  handlers *h = server_member_of(s, v)->handlers;
  server_unref_and_unlock(s);
  if (h != NULL) h->refs++; /* uncovered: race: the VM has left since its client was accepted */
  return h;
}

/* ---- start and close: messages to the server's strand ---- */

static void server_on_start(completion *c) {
  server  *s = container_of(c, server, start);
  runtime *rt = s->rt;
  if (s->net.state == LISTENER_OPEN) listener_start(&s->net);
  server_unref(s);
  runtime_release(rt);
}

static void server_on_close(completion *c) {
  server  *s = container_of(c, server, close);
  runtime *rt = s->rt;
  listener_close(&s->net);
  server_unref(s);
  runtime_release(rt);
}

/* Sends start or close to the server's strand, once; the program lasts until it has arrived. Gives the lock back. */
static void server_ask_and_unlock(server *s, bool *flag, completion *c, void (*run)(completion *c)) {
  runtime *rt = s->rt;
  bool     first = !*flag;
  *flag = true;
  if (first) s->refs++;
  os_mutex_unlock(&rt->lock);
  if (!first) return;
  runtime_hold(rt);
  c->run = run;
  strand_post(server_strand(s), c);
}

static void server_ask_close(server *s) {
  os_mutex_lock(&s->rt->lock);
  server_ask_and_unlock(s, &s->closing, &s->close, server_on_close);
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

bool server_url(runtime *rt, size_t index, char out[ADDRESS_URL_BYTES]) {
  os_mutex_lock(&rt->lock);
  server *s = rt->servers;
  while (s != NULL && (s->closing || index > 0)) {
    if (!s->closing) index--;
    s = s->next;
  }
  if (s != NULL) memcpy(out, s->url, ADDRESS_URL_BYTES);
  os_mutex_unlock(&rt->lock);
  return s != NULL;
}

void server_free_lost(runtime *rt) {
  CHECK(rt->servers == NULL);
  while (rt->servers_made != NULL) { /* uncovered: Lua had no memory to finalize an object; the sanitizers see it */
    os_mutex_lock(&rt->lock);
    server_free_and_unlock(rt->servers_made);
  }
}

void server_close_all(runtime *rt) {
  server *first = NULL; /* with a reference each */
  os_mutex_lock(&rt->lock);
  for (server *s = rt->servers; s != NULL; s = s->next) {
    s->refs++;
    s->next_to_close = first;
    first = s;
  }
  os_mutex_unlock(&rt->lock);
  while (first != NULL) {
    server *s = first;
    first = s->next_to_close;
    if (s->owner == NULL) listener_close(&s->net);
    else server_ask_close(s);
    server_unref(s);
  }
}

/* ---- listening, on the strand of a VM ---- */

/* True if a VM has listened on the address of this server: as a member, or with a server of its own. */
static bool server_has_locked(server *s, vm *v) {
  if (s->owner == NULL || s->owner == v) return server_member_of(s, v)->handlers != NULL;
  for (server *own = v->rt->servers; own != NULL; own = own->next) {
    if (own->owner == v && !own->closing && strcmp(own->url, s->url) == 0) return true;
  }
  return false;
}

/* A server on the same URL that this VM has no part in yet. */
static server *server_find_locked(vm *v, const char *url) {
  for (server *s = v->rt->servers; s != NULL; s = s->next) {
    if (!s->closing && strcmp(server_asked(s), url) == 0 && !server_has_locked(s, v)) return s;
  }
  return NULL;
}

static server *server_new(runtime *rt, vm *owner, const char *url) {
  size_t  len = strlen(url) + 1;
  size_t  members = (owner != NULL ? 1 : rt->options.vms) * sizeof(server_member);
  server *s = calloc(1, sizeof *s + members + len);
  if (s == NULL) return NULL;
  s->rt = rt;
  s->owner = owner;
  memcpy((char *)s->member + members, url, len);
  os_mutex_lock(&rt->lock);
  s->next_made = rt->servers_made;
  if (s->next_made != NULL) s->next_made->prev_made = s;
  rt->servers_made = s;
  os_mutex_unlock(&rt->lock);
  return s;
}

/* Binds to the first of the addresses that can be bound. */
static int server_bind(server *s, const os_addr *to, int found, const listener_options *options) {
  const listener_handlers *events = s->owner != NULL ? &server_events_own : &server_events_shared;
  int                      err = found;
  for (int i = 0; i < found; i++) {
    err = listener_open(&s->net, s->rt->options.port, server_strand(s), &to[i], options, events);
    if (err == 0) break;
  }
  if (err == 0) address_format(&s->net.at, s->url);
  return err;
}

static void server_add_locked(server *s) {
  runtime *rt = s->rt;
  runtime_hold(rt);
  atomic_fetch_add(&rt->listeners, 1);
  server **last = &rt->servers; /* at the end: VMs that listen on one URL twice find them in the same order */
  while (*last != NULL) last = &(*last)->next;
  *last = s;
  s->refs = 1;
}

/* Opens a server, not yet in the list: of the VM alone if it reuses the port, else to be shared. */
static int server_open(vm *v, const char *url, const os_addr *to, int found, const listener_options *options,
                       server **out_server) {
  server *s = server_new(v->rt, options->reuse_port ? v : NULL, url);
  if (s == NULL) return PORTICO_ENOMEM;
  int err = server_bind(s, to, found, options);
  if (err < 0) {
    os_mutex_lock(&v->rt->lock);
    server_free_and_unlock(s);
    return err;
  }
  *out_server = s;
  return 0;
}

/* The VM is a member from now on: the server holds the handlers. Gives the lock back. */
static void server_enter_and_unlock(server *s, vm *v, handlers *h) {
  server_member_of(s, v)->handlers = h;
  s->members++;
  s->refs++; /* for the VM's Lua object */
  if (s->rt->started && !s->starting) server_ask_and_unlock(s, &s->starting, &s->start, server_on_start);
  else os_mutex_unlock(&s->rt->lock);
}

/* Joins the server of a URL.
 * out      *out_server has a reference on success; else *out_beside is the address of another VM's server on this URL,
 *          so that port 0 becomes the same port for both (len 0: there is none)
 * errors   ENOTFOUND (there is none to be shared); EINVAL: *out_why says what the VMs do not agree on */
static int server_join_shared(vm *v, const char *url, handlers *h, server **out_server, os_addr *out_beside,
                              const char **out_why) {
  bool own = h->kernel.reuse_port;
  int  err = PORTICO_ENOTFOUND;
  os_mutex_lock(&v->rt->lock);
  server *s = server_find_locked(v, url);
  *out_beside = s != NULL ? s->net.at : (os_addr){0};
  if (s != NULL && (s->owner != NULL) != own) {
    *out_why = own ? "another VM listens there without reuse_port" : "another VM listens there with reuse_port";
    err = PORTICO_EINVAL;
  } else if (s != NULL && !own) {
    *out_server = s;
    server_enter_and_unlock(s, v, h);
    return 0;
  }
  os_mutex_unlock(&v->rt->lock);
  return err;
}

static int server_open_and_join(vm *v, const char *url, const os_addr *to, int found, handlers *h,
                                server **out_server) {
  server *s;
  int     err = server_open(v, url, to, found, &h->kernel, &s);
  if (err < 0) return err;
  *out_server = s;
  os_mutex_lock(&v->rt->lock);
  server_add_locked(s);
  server_enter_and_unlock(s, v, h);
  /* The list may have been gone through before it was in there. */
  if (runtime_ending(v->rt)) server_ask_close(s); /* uncovered: race: another VM begins to end the program */
  return 0;
}

/* Joins the server of a URL, or opens one. On success it holds the handlers, and *out_server has a reference.
 * *out_why   what to say about an error, if its own words do not do */
static int server_join(vm *v, const char *url, const address *a, handlers *h, server **out_server,
                       const char **out_why) {
  os_addr to[SERVER_RESOLVED_MAX];
  int     found = 1;
  int     err = server_join_shared(v, url, h, out_server, &to[0], out_why);
  if (err != PORTICO_ENOTFOUND) return err;
  if (to[0].len == 0) {
    vm_block_enter(v); /* a name may take its time */
    found = address_resolve(a, to, SERVER_RESOLVED_MAX);
    port_block_leave();
  }
  os_mutex_lock(&v->rt->opening); /* of VMs that come at the same moment one opens, and the others find that */
  os_addr beside;
  err = server_join_shared(v, url, h, out_server, &beside, out_why);
  if (err == PORTICO_ENOTFOUND) {
    bool alone = beside.len == 0;
    err = server_open_and_join(v, url, alone ? to : &beside, alone ? found : 1, h, out_server);
  }
  os_mutex_unlock(&v->rt->opening);
  return err;
}

/* ---- the Lua type: a pointer with a reference, given back by the collector ---- */

static const char *server_hint(int err, bool reuse_port) {
  switch (err) {
  case PORTICO_EADDRINUSE:
    return reuse_port ? " (another user, or somebody without reuse_port, listens there: choose another port)"
                      : " (another program, or this one, listens there: choose another port)";
  case PORTICO_EACCES: return " (ports below 1024 need a privilege)";
  default: return "";
  }
}

/* why: NULL = the words of the error itself */
static int server_refuse(lua_State *L, const char *url, int err, bool reuse_port, const char *why) {
  if (why == NULL) why = portico_error_text(err);
  const char *what = err == PORTICO_ENOTSUP && reuse_port ? "reuse_port: " : "";
  lua_pushfstring(L, "cannot listen on %s: %s%s%s", url, what, why, server_hint(err, reuse_port));
  return vm_push_error(L, err, lua_tostring(L, -1));
}

int server_listen(lua_State *L) {
  const char *url = vm_check_url(L, 1);
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
  const char *refusal = NULL;
  err = server_join(v, url, &a, h, object, &refusal);
  if (err == 0) return 1;
  bool reuse_port = h->kernel.reuse_port;
  handlers_unref(h);
  return server_refuse(L, url, err, reuse_port, refusal);
}

/* NULL: it was collected, and a finalizer of the script has found it before it goes. */
static server *server_check(lua_State *L) {
  server **object = luaL_checkudata(L, 1, server_type);
  return *object;
}

/* The last member leaves. An owner is on the strand and needs no message. A program that stops closes all by itself; in
 * the finalizers of its end nobody is left to get one. */
static void server_close_and_unlock(server *s) {
  if (s->owner == NULL && runtime_stopping(s->rt)) {
    os_mutex_unlock(&s->rt->lock);
    return;
  }
  if (s->owner == NULL) {
    server_ask_and_unlock(s, &s->closing, &s->close, server_on_close);
    return;
  }
  s->closing = true;
  os_mutex_unlock(&s->rt->lock);
  listener_close(&s->net);
}

/* listener:close() -> true | nil, message, code */
static int server_leave(lua_State *L) {
  server *s = server_check(L);
  vm     *v = vm_of(L);
  if (s == NULL) return vm_push_error(L, PORTICO_ECLOSED, NULL);
  os_mutex_lock(&s->rt->lock);
  server_member *m = server_member_of(s, v);
  handlers      *h = m->handlers;
  m->handlers = NULL;
  if (h != NULL && --s->members == 0) server_close_and_unlock(s);
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
  if (strcmp(name, "url") == 0) lua_pushstring(L, s != NULL ? s->url : NULL);
  else if (strcmp(name, "close") == 0) lua_pushcfunction(L, server_leave);
  else lua_pushnil(L);
  return 1;
}

static int server_tostring(lua_State *L) {
  const server *s = server_check(L);
  lua_pushfstring(L, "portico.Listener (%s)", s != NULL ? s->url : "collected");
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
