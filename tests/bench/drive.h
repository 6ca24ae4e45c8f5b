/* drive.h - one run: warm up, measure for a window, let what is on its way come back; one server, or two in turn. */
#ifndef PORTICO_BENCH_DRIVE_H
#define PORTICO_BENCH_DRIVE_H

#include <stdint.h>

#include "histogram.h"
#include "options.h"

typedef struct results {
  double   window_s;
  uint64_t messages; /* whose echo was complete within the window; broadcast: each delivery */
  int64_t  cpu_ns;   /* CPU time of the server within the window; 0 without a pid */
  int64_t
      foreign_ns; /* CPU time of everything that is neither the server nor this program; 0 without a pid */
  uint64_t  naps; /* of the sleeper, in the whole run */
  double   *slice_cpu_ns; /* per message, of each slice of the window; 0 = without one */
  histogram latencies;    /* ns, of the messages that started within the window */
} results;

/* Runs what the options ask for; returns the results of server 0..o->server_count-1. Returns only if every byte came
 * back as it was sent; else the program ends. */
const results *drive(const options *o);

#endif
