#include "process.h"

#include "fail.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SETTLE_STEP_MS = 50, SETTLE_CALM_STEPS = 16, SETTLE_STEPS_MAX = 120 };

int64_t process_cpu_ns(pid_t pid) {
  clockid_t       clock;
  struct timespec used;
  int             err = clock_getcpuclockid(pid, &clock);
  if (err != 0) fail("CPU clock of process %d: %s", (int)pid, strerror(err));
  if (clock_gettime(clock, &used) < 0) fail("process %d ended", (int)pid);
  return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

void process_cpu_calm(pid_t pid) {
  const struct timespec step = {.tv_nsec = SETTLE_STEP_MS * 1000000L};
  int64_t               cpu_ns = process_cpu_ns(pid);
  for (int i = 0, calm = 0; i < SETTLE_STEPS_MAX && calm < SETTLE_CALM_STEPS; i++) {
    nanosleep(&step, NULL);
    int64_t now_ns = process_cpu_ns(pid);
    calm = now_ns == cpu_ns ? calm + 1 : 0;
    cpu_ns = now_ns;
  }
}

static int64_t task_switches(pid_t pid, const char *task) {
  char path[300];
  char line[256];
  snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)pid, task);
  FILE *f = fopen(path, "r");
  if (f == NULL) return 0; /* it has just ended */
  int64_t sum = 0, count;
  while (fgets(line, sizeof line, f) != NULL)
    if (sscanf(line, "voluntary_ctxt_switches: %" SCNd64, &count) == 1 ||
        sscanf(line, "nonvoluntary_ctxt_switches: %" SCNd64, &count) == 1)
      sum += count;
  fclose(f);
  return sum;
}

int64_t process_switches(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *tasks = opendir(path);
  if (tasks == NULL) fail("cannot read %s", path);
  int64_t sum = 0;
  for (struct dirent *entry; (entry = readdir(tasks)) != NULL;)
    if (entry->d_name[0] != '.') sum += task_switches(pid, entry->d_name);
  closedir(tasks);
  return sum;
}

int64_t process_machine_busy_ns(void) {
  FILE *f = fopen("/proc/stat", "r");
  if (f == NULL) fail("cannot read /proc/stat");
  int64_t user, nice, system, idle, iowait, irq, softirq, steal;
  int     found = fscanf(
          f, "cpu %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
          &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal);
  fclose(f);
  if (found != 8) fail("/proc/stat is not what it used to be");
  int64_t ticks = user + nice + system + irq + softirq + steal;
  return ticks * (1000000000 / sysconf(_SC_CLK_TCK));
}

process_memory process_memory_now(pid_t pid) {
  char path[64];
  char line[256];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
  FILE *f = fopen(path, "r");
  if (f == NULL) fail("cannot read %s", path);
  process_memory m = {0, 0};
  int64_t        kib;
  while (fgets(line, sizeof line, f) != NULL) {
    if (sscanf(line, "Private_Clean: %" SCNd64, &kib) == 1) m.private_bytes += kib * 1024;
    if (sscanf(line, "Private_Dirty: %" SCNd64, &kib) == 1) m.private_bytes += kib * 1024;
    if (sscanf(line, "Rss: %" SCNd64, &kib) == 1) m.resident_bytes += kib * 1024;
  }
  fclose(f);
  if (m.resident_bytes == 0) fail("nothing in %s", path);
  return m;
}

process_memory process_memory_settled(pid_t pid) {
  const struct timespec step = {.tv_nsec = SETTLE_STEP_MS * 1000000L};
  process_memory        m = process_memory_now(pid);
  int                   calm = 0;
  for (int i = 0; i < SETTLE_STEPS_MAX && calm < SETTLE_CALM_STEPS; i++) {
    nanosleep(&step, NULL);
    process_memory now = process_memory_now(pid);
    calm = now.private_bytes == m.private_bytes ? calm + 1 : 0;
    m = now;
  }
  return m;
}
