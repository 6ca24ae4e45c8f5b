/* histogram.h - latencies in logarithmic buckets: constant memory, and no bucket wider than 1/64 of its value. */
#ifndef PORTICO_BENCH_HISTOGRAM_H
#define PORTICO_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
  HISTOGRAM_STEPS = 64,
  HISTOGRAM_BUCKETS = HISTOGRAM_STEPS * 58
}; /* 58 covers every positive int64_t */

typedef struct histogram {
  uint64_t counts[HISTOGRAM_BUCKETS];
  uint64_t total;
  int64_t  max;
} histogram;

/* Forgets every value. */
void histogram_reset(histogram *h);

/* Counts one value; a negative one counts as 0. */
void histogram_add(histogram *h, int64_t value);

/* The value that `share` (0..1) of all values do not exceed: the upper edge of its bucket, so it never flatters and
 * is too high by at most 1/64. 0 when nothing was counted. */
int64_t histogram_quantile(const histogram *h, double share);

#endif
