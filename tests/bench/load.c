/* load.c - the load generator: `load --help` says what it can do, README.md how it measures. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "counter.h"
#include "drive.h"
#include "fail.h"
#include "idle.h"
#include "options.h"
#include "process.h"

/* 10,000 connections need more descriptors than the usual soft limit of 1024. */
static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit); /* if not, connecting fails later with a clear message */
}

static double quantile_us(const histogram *h, double share) {
  return (double)histogram_quantile(h, share) / 1e3;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The median over the slices of what the second server costs compared with the first: a disturbance of a second spoils
 * some slices and leaves the median where it was, while it would move the ratio of the sums. */
static double cpu_ratio(const results *first, const results *second, size_t slices) {
  double *ratios = calloc(slices, sizeof *ratios);
  if (ratios == NULL) fail("out of memory");
  for (size_t i = 0; i < slices; i++) ratios[i] = second->slice_cpu_ns[i] / first->slice_cpu_ns[i];
  qsort(ratios, slices, sizeof *ratios, by_size);
  double median = (ratios[slices / 2] + ratios[(slices - 1) / 2]) / 2;
  free(ratios);
  return median;
}

static void print_costs(const options *o, const results *all, size_t server) {
  const results *r = &all[server];
  printf(",\"cpu_ns_per_message\":%.1f,\"server_busy\":%.3f,\"foreign_busy\":%.3f",
         (double)r->cpu_ns / (double)r->messages, (double)r->cpu_ns / 1e9 / r->window_s,
         (double)r->foreign_ns / 1e9 / r->window_s);
  if (server == 1 && o->pids[0] > 0) printf(",\"cpu_ratio\":%.4f", cpu_ratio(&all[0], &all[1], o->slices));
}

static void print_results(const options *o, const results *all, size_t server) {
  const results   *r = &all[server];
  const histogram *h = &r->latencies;
  printf("{\"mode\":\"echo\",\"connections\":%zu,\"size\":%zu,\"in_flight\":%zu,\"rate\":%.0f,\"slices\":%zu",
         o->connections, o->message_bytes, o->in_flight_max, o->rate, o->slices);
  printf(",\"window_s\":%.3f,\"messages\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"messages_per_s\":%.0f",
         r->window_s, r->messages, r->messages * o->message_bytes, (double)r->messages / r->window_s);
  printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f", quantile_us(h, 0.5),
         quantile_us(h, 0.99), quantile_us(h, 0.999), (double)h->max / 1e3);
  if (o->pids[server] > 0) print_costs(o, all, server);
  if (o->sleeper != NULL) printf(",\"naps\":%" PRIu64, r->naps);
  puts("}");
}

int main(int argc, char **argv) {
  options o;
  options_parse(&o, argc, argv);
  raise_descriptor_limit();
  if (o.cpu) {
    printf("%" PRId64 "\n", process_cpu_ns(o.pids[0]));
    return 0;
  }
  if (o.idle > 0) {
    idle_run(&o);
    return 0;
  }
  if (o.counter_s > 0) {
    counter_run(&o);
    return 0;
  }
  const results *all = drive(&o);
  for (size_t i = 0; i < o.server_count; i++) print_results(&o, all, i);
  return 0;
}
