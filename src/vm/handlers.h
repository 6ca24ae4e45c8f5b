/* handlers.h - the functions and options that a script gave to one listen or connect.   Layer: vm. Strand only. */
#ifndef PORTICO_VM_HANDLERS_H
#define PORTICO_VM_HANDLERS_H
#include "net/address.h"
#include "net/listener.h"
#include "vm/vm.h"

typedef enum handler_event { ON_OPEN, ON_DATA, ON_END, ON_DRAIN, ON_CLOSE, HANDLER_EVENTS } handler_event;

struct handlers {
  vm              *vm;
  handlers        *next, *prev; /* all of the VM */
  unsigned         refs;        /* connections, and the listener */
  int              refs_lua[HANDLER_EVENTS]; /* registry references, LUA_NOREF = none */
  stream_group     group;
  listener_options kernel;
  bool             nodelay;
  char             where[]; /* the URL, for messages */
};

/* Reads the table at index arg of a Lua function's stack: raises an error that names what is wrong with which field.
 * recv_pause: what holds if the table does not say. Servers pause, since a client that pauses, too, would hang.
 * result   with one reference, the caller's */
handlers *handlers_read(lua_State *L, int arg, const char *url, bool recv_pause);

/* One reference less; the last one lets the Lua functions go. */
void handlers_unref(handlers *h);

/* Frees what is left when the state is gone. */
void handlers_free_all(vm *v);

/* Pushes the function for an event on the main stack; false (and nothing pushed) if the script gave none. */
bool handlers_push(handlers *h, handler_event event);

/* The name of an event, as in the table. */
const char *handlers_name(handler_event event);

/* Sets a connected or connecting socket's options; arg is the handlers. */
void handlers_set_socket(os_socket socket, void *arg);

#endif
