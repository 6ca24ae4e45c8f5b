/* simulation.h - the Lua module portico.simulation: a program in a simulated network.   Layer: host.
 *
 * A world (os/sim.h) with a virtual clock and one seeded generator, a host in it, with own_loop or with workers, and
 * plain sockets of the script's as its clients. The script's thread is in the world only while it is in one of these
 * calls, since it belongs to another host, too; for the port it belongs to one at a time, so a main chunk, on the
 * thread of portico_start, is the place for this. Equal seeds and equal calls make equal runs, as far as the program
 * does not look at what is not simulated: os.time, files, addresses of tables, the order of pairs. */
#ifndef PORTICO_HOST_SIMULATION_H
#define PORTICO_HOST_SIMULATION_H
#include <lua.h>

#include "host/simulation_lines.h"
#include "os/sim.h"
#include "portico.h"

typedef struct client client;

/* The userdata; its user value is the function that hears the trace. */
typedef struct simulation {
  os_sim          *world;   /* NULL: closed */
  portico_host    *host;    /* NULL: none was loaded */
  uint64_t         seed;
  os_sim_rates     rates;
  client          *clients; /* that are open */
  simulation_lines log, trace;
} simulation;

/* Lua function: makes require "portico.simulation" work in the calling state, without loading anything yet. */
int simulation_preload(lua_State *L);

/* The open simulation that is the first argument, or an error of Lua. */
simulation *simulation_check(lua_State *L);

/* Around what is done in its world: no error of Lua may be raised in between.
 * result   where the thread was before, for the leave; NULL = in no world */
os_sim *simulation_enter(simulation *s);
void    simulation_leave(os_sim *before);

#endif
