/* simulation_options.h - tables of named options, read strictly.   Layer: host. */
#ifndef PORTICO_HOST_SIMULATION_OPTIONS_H
#define PORTICO_HOST_SIMULATION_OPTIONS_H
#include <lua.h>

#include "os/sim.h"

/* Raises an error that lists the names there are if the table at index arg (nil: fine) has a field of another name.
 * what     the call, for the message
 * shape    names end with NULL */
void simulation_check_names(lua_State *L, int arg, const char *what, const char *const *names);

/* The field of that table, or fallback without one. Raises an error unless it is an integer from min to max. */
lua_Integer simulation_integer(lua_State *L, int arg, const char *name, lua_Integer min, lua_Integer max,
                               lua_Integer fallback);

/* Changes the rates that the table at index arg (nil: none) names. */
void simulation_read_rates(lua_State *L, int arg, os_sim_rates *rates);

/* Reads the options of simulation.open at index arg. */
void simulation_read_options(lua_State *L, int arg, os_sim_options *out_options);

#endif
