/* connection.h - the Lua type portico.Connection over a stream.   Layer: vm. Strand only, unless it says otherwise. */
#ifndef PORTICO_VM_CONNECTION_H
#define PORTICO_VM_CONNECTION_H
#include "net/address.h"
#include "vm/handlers.h"

/* Registers the metatable; the state's stack is left as it was. */
void connection_open_type(lua_State *L);

/* Gives an accepted socket to a VM of the server's choice: it is opened, and on_open called, on the VM's strand. The
 * socket is closed if that fails. threads: any */
void connection_accept(vm *v, server *from, os_socket socket, const os_addr *peer);

/* Opens an accepted socket at once: on_open is called. The socket is closed if that fails, or if the program is ending.
 * The reference to the handlers goes to the connection. On the VM's strand. */
void connection_admit(vm *v, handlers *h, os_socket socket, const os_addr *peer);

/* Pushes the table of the objects of all live connections, by slot index. */
void connection_push_objects(lua_State *L);

/* Makes a connection to an address and pushes its object: the reference to the handlers goes to it.
 * result   0; ENOMEM (nothing pushed) */
int connection_connect(lua_State *L, handlers *h, const address *to);

/* What happens on the stream of a connection, told to Lua. */
extern const stream_handlers connection_events;

/* Calls on_data for what has arrived in a turn of the VM; an error ends its connection. */
void connection_deliver(turn *t);

/* Closes (abort: resets) every connection of the VM. */
void connection_sweep(vm *v, bool abort);

#endif
