#include "counter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "fail.h"
#include "process.h"

typedef struct reading {
  int64_t count;
  double  late_max_s, late_sum_s;
  int64_t at_ns;
  int64_t cpu_ns;
} reading;

static reading reading_take(int fd, pid_t pid) {
  char    answer[80];
  size_t  got = 0;
  reading r;
  if (send(fd, "?\n", 2, MSG_NOSIGNAL) != 2) fail("the counter could not be asked");
  while (got == 0 || answer[got - 1] != '\n') {
    ssize_t n = recv(fd, answer + got, sizeof answer - 1 - got, 0);
    if (n <= 0) fail("no answer from the counter");
    got += (size_t)n;
  }
  answer[got] = '\0';
  if (sscanf(answer, "%" SCNd64 " %lf %lf", &r.count, &r.late_max_s, &r.late_sum_s) != 3)
    fail("the counter said %s", answer);
  r.at_ns = client_clock_ns();
  r.cpu_ns = process_cpu_ns(pid);
  return r;
}

void counter_run(const options *o) {
  int fd = client_connect(&o->servers[0]);
  client_sleep(o->warmup_s);
  reading before = reading_take(fd, o->pids[0]);
  client_sleep(o->counter_s);
  reading after = reading_take(fd, o->pids[0]);
  int64_t counted = after.count - before.count;
  double  window_s = (double)(after.at_ns - before.at_ns) / 1e9;
  double  cpu_ns = (double)(after.cpu_ns - before.cpu_ns);
  if (counted <= 0) fail("nothing was counted");
  printf("{\"mode\":\"counter\",\"window_s\":%.3f,\"counted\":%" PRId64 ",\"counted_per_s\":%.0f", window_s, counted,
         (double)counted / window_s);
  printf(",\"cpu_ns_per_count\":%.1f,\"server_busy\":%.3f,\"late_ms\":%.3f,\"late_ms_max\":%.3f}\n",
         cpu_ns / (double)counted, cpu_ns / 1e9 / window_s, after.late_sum_s * 1e3 / (double)counted,
         after.late_max_s * 1e3);
  close(fd);
}
