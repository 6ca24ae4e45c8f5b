/* counter.h - what one unit of a server's own work costs: the server counts, we read its clock. */
#ifndef PORTICO_BENCH_COUNTER_H
#define PORTICO_BENCH_COUNTER_H

#include "options.h"

/* Asks the server for its counter, waits o->counter_s seconds, asks again; prints the CPU time of each count between.
 * What is agreed with tests/bench/timers.lua: any line is answered by a line of three numbers, the count since the
 * start and, since it was asked before, by how many seconds the latest one and all together were late. */
void counter_run(const options *o);

#endif
