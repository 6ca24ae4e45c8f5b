/* inbox.c - a locked list per VM and one completion that empties it, so that two workers cannot swap messages. */
#include "vm/inbox.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"

enum { INBOX_BATCH = SIZED(32, 2), INBOX_TOPIC_MAX = 255 };

/* What was posted; the VMs share it. */
typedef struct message {
  _Atomic unsigned refs;
  size_t           len;
  char             topic[INBOX_TOPIC_MAX + 1];
  unsigned char    data[];
} message;

typedef struct mail {
  struct mail *next;
  message     *message;
} mail;

typedef struct inbox {
  vm        *vm;
  completion work;
  int        topics; /* strand: registry reference to {topic = function}, LUA_NOREF = none yet */
  os_mutex   lock;
  mail      *first, *last; /* under lock */
  bool       working;      /* under lock: work is posted or running */
} inbox;

static void message_unref(message *m) {
  if (atomic_fetch_sub(&m->refs, 1) == 1) free(m);
}

/* ---- delivery, on the strand ---- */

/* Runs protected: (table of topics, message). */
static int inbox_call(lua_State *L) {
  const message *m = lua_touserdata(L, 2);
  if (lua_getfield(L, 1, m->topic) == LUA_TNIL) return 0;
  lua_pushlstring(L, (const char *)m->data, m->len);
  lua_pushstring(L, m->topic);
  lua_call(L, 2, 0);
  return 0;
}

static void inbox_deliver(inbox *box, message *m) {
  if (box->topics == LUA_NOREF) return;
  lua_State *L = box->vm->L;
  lua_pushcfunction(L, inbox_call);
  lua_rawgeti(L, LUA_REGISTRYINDEX, box->topics);
  lua_pushlightuserdata(L, m);
  vm_call(box->vm, 2, "function", "portico.subscribe");
}

/* Takes the oldest; with none left the work is over. */
static mail *inbox_next(inbox *box) {
  os_mutex_lock(&box->lock);
  mail *first = box->first;
  if (first != NULL) box->first = first->next;
  else box->working = false;
  os_mutex_unlock(&box->lock);
  return first;
}

static void inbox_on_work(completion *c) {
  inbox *box = container_of(c, inbox, work);
  for (unsigned n = 1;; n++) {
    mail *m = inbox_next(box);
    if (m == NULL) break;
    inbox_deliver(box, m->message);
    message_unref(m->message);
    free(m);
    turn_end(&box->vm->turn);
    if (n % INBOX_BATCH != 0) continue;
    strand_post(&box->vm->strand, &box->work); /* others get their turn */
    return;
  }
  runtime_release(box->vm->rt);
}

/* ---- posting, any thread ---- */

/* Puts m into the box. The first one starts the work and holds the runtime until it is done. */
static void inbox_put(inbox *box, mail *m) {
  m->next = NULL;
  os_mutex_lock(&box->lock);
  if (box->first != NULL) box->last->next = m;
  else box->first = m;
  box->last = m;
  bool start = !box->working;
  box->working = true;
  os_mutex_unlock(&box->lock);
  if (!start) return;
  runtime_hold(box->vm->rt);
  strand_post(&box->vm->strand, &box->work);
}

static message *message_new(const char *topic, const void *data, size_t len) {
  message *m = malloc(sizeof *m + len);
  if (m == NULL) return NULL;
  atomic_init(&m->refs, 1);
  m->len = len;
  strcpy(m->topic, topic); /* its length was checked */
  if (len > 0) memcpy(m->data, data, len);
  return m;
}

int inbox_post(runtime *rt, const char *topic, const void *data, size_t len) {
  if (strlen(topic) > INBOX_TOPIC_MAX) return PORTICO_EINVAL;
  runtime_hold(rt); /* before the look: then the end waits for us, or we see it */
  bool     stopping = runtime_stopping(rt);
  message *m = stopping ? NULL : message_new(topic, data, len);
  int      err = stopping ? PORTICO_ECLOSED : m == NULL ? PORTICO_ENOMEM : 0;
  for (unsigned i = 0; err == 0 && i < rt->options.vms; i++) {
    mail *entry = malloc(sizeof *entry);
    if (entry == NULL) {
      err = PORTICO_ENOMEM;
      break;
    }
    entry->message = m;
    atomic_fetch_add(&m->refs, 1);
    inbox_put(rt->vms[i]->inbox, entry);
  }
  if (m != NULL) message_unref(m);
  runtime_release(rt);
  return err;
}

/* ---- life and Lua ---- */

int inbox_open(vm *v) {
  inbox *box = calloc(1, sizeof *box);
  if (box == NULL) return PORTICO_ENOMEM;
  box->vm = v;
  box->topics = LUA_NOREF;
  box->work.run = inbox_on_work;
  os_mutex_init(&box->lock);
  v->inbox = box;
  return 0;
}

void inbox_close(vm *v) {
  inbox *box = v->inbox;
  if (box == NULL) return;
  while (box->first != NULL) { /* uncovered: race: posted while all ended */
    mail *m = box->first;
    box->first = m->next;
    message_unref(m->message);
    free(m);
  }
  os_mutex_fini(&box->lock);
  free(box);
  v->inbox = NULL;
}

bool inbox_wanted(vm *v) {
  return v->inbox->topics != LUA_NOREF;
}

int inbox_subscribe(lua_State *L) {
  inbox *box = vm_of(L)->inbox;
  size_t len;
  luaL_checklstring(L, 1, &len);
  luaL_argcheck(L, len <= INBOX_TOPIC_MAX, 1, "a topic has at most 255 bytes");
  if (!lua_isnil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (box->topics == LUA_NOREF) {
    lua_newtable(L); /* for which a finalizer may run, and subscribe */
    if (box->topics == LUA_NOREF) box->topics = luaL_ref(L, LUA_REGISTRYINDEX);
    else lua_pop(L, 1);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, box->topics);
  lua_insert(L, 1);
  lua_rawset(L, 1);
  lua_pushboolean(L, 1);
  return 1;
}
