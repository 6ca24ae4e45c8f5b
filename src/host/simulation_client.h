/* simulation_client.h - a simulated socket of a test: the Lua type portico.SimulatedClient.   Layer: host. */
#ifndef PORTICO_HOST_SIMULATION_CLIENT_H
#define PORTICO_HOST_SIMULATION_CLIENT_H
#include "host/simulation.h"

/* Registers the metatable; the stack is left as it was. */
void client_open_type(lua_State *L);

/* Lua function: (simulation, host, port) -> client | nil, message, code. */
int client_connect(lua_State *L);

/* Closes all that are open. In the world. */
void client_close_all(simulation *s);

#endif
