#include "histogram.h"

#include <string.h>

/* Values below 64 have a bucket each; above, its top seven bits name the bucket within its power of two. */
static int bucket_of(uint64_t value) {
  if (value < HISTOGRAM_STEPS) return (int)value;
  int shift = 63 - __builtin_clzll(value) - 6;
  return shift * HISTOGRAM_STEPS + (int)(value >> shift);
}

static int64_t upper_edge(int bucket) {
  if (bucket < 2 * HISTOGRAM_STEPS) return bucket;
  int      shift = bucket / HISTOGRAM_STEPS - 1;
  uint64_t top = (uint64_t)(bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS);
  return (int64_t)(((top + 1) << shift) - 1);
}

void histogram_reset(histogram *h) { memset(h, 0, sizeof *h); }

void histogram_add(histogram *h, int64_t value) {
  if (value < 0) value = 0;
  h->counts[bucket_of((uint64_t)value)]++;
  h->total++;
  if (value > h->max) h->max = value;
}

int64_t histogram_quantile(const histogram *h, double share) {
  if (h->total == 0) return 0;
  uint64_t wanted = (uint64_t)(share * (double)h->total);
  if (wanted >= h->total) wanted = h->total - 1;
  uint64_t seen = 0;
  for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += h->counts[i];
    if (seen > wanted) return upper_edge(i) < h->max ? upper_edge(i) : h->max;
  }
  return h->max;
}
