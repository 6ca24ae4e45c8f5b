/* scenario.h - a host from its start to its end, with a client of the outside world, whatever fails on the way. */
#ifndef PORTICO_TESTS_FAULTS_SCENARIO_H
#define PORTICO_TESTS_FAULTS_SCENARIO_H
#include <stdbool.h>

typedef struct scenario {
  const char *name, *backend;
  unsigned    vms, workers;
  const char *options; /* of the listener, in Lua */
  bool        recorded;
} scenario;

/* Opens a host, runs a script that listens, connects to itself, keeps timers and listens to posts; sends to it from
 * outside; stops and closes it. Each step may fail. Aborts, saying what was going on, if one does not end, or if the
 * end leaves memory behind. what: printed then
 * result   true if every step went well */
bool scenario_run(const scenario *s, const char *what);

#endif
