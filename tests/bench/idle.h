/* idle.h - what a connection that does nothing costs in memory. */
#ifndef PORTICO_BENCH_IDLE_H
#define PORTICO_BENCH_IDLE_H

#include "options.h"

/* Opens o->idle connections, prints the server's memory before, with all of them fresh, and after each has had
 * one echo, then holds them until stdin ends. Without a pid it only opens and holds. */
void idle_run(const options *o);

#endif
