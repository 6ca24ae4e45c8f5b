/* server.h - a listening socket with the VMs that it serves, and its Lua type portico.Listener.   Layer: vm.
 * Each VM runs the same script, so each listens on the same URLs. Usually the first binds and the others join: the
 * control strand accepts, and a connection goes to the member with the fewest. With reuse_port each VM has a server of
 * its own, bound to the same address and accepted on the VM's strand: the kernel chooses, and VMs share nothing. */
#ifndef PORTICO_VM_SERVER_H
#define PORTICO_VM_SERVER_H
#include "vm/handlers.h"

/* Registers the metatable; the state's stack is left as it was. */
void server_open_type(lua_State *L);

/* Lua function: (url, handlers) -> listener | nil, message, code. */
int server_listen(lua_State *L);

/* The handlers that a VM gave to a shared server, with a reference for the caller; NULL if it has left. Gives back the
 * reference that came with an accepted socket. On the VM's strand. */
handlers *server_handlers(server *s, vm *v);

/* Gives back the reference that came with an accepted socket, when server_handlers was not called for it. */
void server_unref(server *s);

/* Starts every server that exists; later ones start by themselves. Before any worker runs. */
void server_start_all(runtime *rt);

/* Closes every server. On the control strand. */
void server_close_all(runtime *rt);

/* The URL, with the real port, of number index (0, 1, ...) among the servers that listen; with reuse_port each VM has
 * one.
 * result   false: there are not so many
 * threads  any */
bool server_url(runtime *rt, size_t index, char out[ADDRESS_URL_BYTES]);

/* When all VMs are gone: frees servers whose last reference nobody gave back. There are such only if Lua had no memory
 * left to call an object's __gc. */
void server_free_lost(runtime *rt);

#endif
