#include "idle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "fail.h"
#include "payload.h"
#include "process.h"

/* One in 64 of the "fresh" connections has had an echo. The last one has: all are accepted when this returns. */
static int *open_all(const options *o, const payload *p) {
  int *fds = calloc(o->idle, sizeof *fds);
  if (fds == NULL) fail("out of memory");
  for (size_t i = 0; i < o->idle; i++) {
    fds[i] = client_connect_calmly(&o->servers[0], p, i);
  }
  client_round_trip(fds[o->idle - 1], p);
  return fds;
}

static void print_memory(const char *when, process_memory m, process_memory before, size_t count) {
  double private_each = (double)(m.private_bytes - before.private_bytes) / (double)count;
  double resident_each = (double)(m.resident_bytes - before.resident_bytes) / (double)count;
  printf(",\"%s_private_bytes\":%" PRId64 ",\"%s_resident_bytes\":%" PRId64, when, m.private_bytes, when,
         m.resident_bytes);
  printf(",\"%s_private_each\":%.0f,\"%s_resident_each\":%.0f", when, private_each, when, resident_each);
}

/* What a server does while nothing happens. It may still be at work for those before (freeing, growing tables): the
 * silence begins when it has used no CPU time for a while, or else after 5 s. */
static void print_still(const options *o) {
  pid_t pid = o->pids[0];
  process_cpu_calm(pid);
  int64_t cpu_ns = process_cpu_ns(pid);
  int64_t switches = process_switches(pid);
  client_sleep(o->still_s);
  printf(",\"still_s\":%.1f,\"still_cpu_ns\":%" PRId64 ",\"still_switches\":%" PRId64, o->still_s,
         process_cpu_ns(pid) - cpu_ns, process_switches(pid) - switches);
}

static void hold_until_stdin_ends(void) {
  char ignored[256];
  while (read(STDIN_FILENO, ignored, sizeof ignored) > 0) continue;
}

static void measure(const options *o, const payload *p) {
  process_memory before = process_memory_settled(o->pids[0]);
  int           *fds = open_all(o, p);
  process_memory fresh = process_memory_settled(o->pids[0]);
  for (size_t i = 0; i < o->idle; i++) client_round_trip(fds[i], p);
  process_memory used = process_memory_settled(o->pids[0]);
  printf("{\"mode\":\"idle\",\"connections\":%zu,\"before_private_bytes\":%" PRId64, o->idle,
         before.private_bytes);
  print_memory("fresh", fresh, before, o->idle);
  print_memory("used", used, before, o->idle);
  if (o->still_s > 0) print_still(o);
  puts("}");
  fflush(stdout);
  hold_until_stdin_ends();
  free(fds); /* the sockets go with the process */
}

static void hold(const options *o, const payload *p) {
  int *fds = open_all(o, p);
  printf("{\"mode\":\"idle\",\"connections\":%zu}\n", o->idle);
  fflush(stdout);
  hold_until_stdin_ends();
  free(fds);
}

void idle_run(const options *o) {
  payload p;
  payload_make(&p, o->message_bytes, 1);
  if (o->pids[0] > 0)
    measure(o, &p);
  else
    hold(o, &p);
  payload_drop(&p);
}
