#include "idle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "client.h"
#include "fail.h"
#include "payload.h"
#include "process.h"

enum { BATCH = 64 };

/* The last of each batch has an echo. Servers accept in order, so the batch is accepted then, and the server's backlog
 * never overflows; it makes 1 in 64 of the "fresh" connections one that has been used. */
static int *open_all(const options *o, const payload *p) {
  int *fds = calloc(o->idle, sizeof *fds);
  if (fds == NULL) fail("out of memory");
  for (size_t i = 0; i < o->idle; i++) {
    fds[i] = client_connect(&o->servers[0]);
    if (i % BATCH == BATCH - 1 || i == o->idle - 1) client_round_trip(fds[i], p);
  }
  return fds;
}

static void print_memory(const char *when, process_memory m, process_memory before, size_t count) {
  double private_each = (double)(m.private_bytes - before.private_bytes) / (double)count;
  double resident_each = (double)(m.resident_bytes - before.resident_bytes) / (double)count;
  printf(",\"%s_private_bytes\":%" PRId64 ",\"%s_resident_bytes\":%" PRId64, when, m.private_bytes, when,
         m.resident_bytes);
  printf(",\"%s_private_each\":%.0f,\"%s_resident_each\":%.0f", when, private_each, when, resident_each);
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
