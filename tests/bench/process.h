/* process.h - what the server under test costs, read from outside: CPU time and memory. */
#ifndef PORTICO_BENCH_PROCESS_H
#define PORTICO_BENCH_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

typedef struct process_memory {
  int64_t private_bytes;  /* pages of this process alone (smaps_rollup: Private_Clean + Private_Dirty) */
  int64_t resident_bytes; /* all pages in memory, shared libraries included (Rss) */
} process_memory;

/* User plus system time that all threads of `pid` have used, its children not included.
 * units    ns, as the scheduler counts; utime and stime of /proc/PID/stat come in ticks of 10 ms
 * result   ends the program when there is no such process
 * source   clock_getcpuclockid(3) */
int64_t process_cpu_ns(pid_t pid);

/* Waits until `pid` has used no CPU time for 300 ms, or for 5 s. */
void process_cpu_calm(pid_t pid);

/* How often the threads of `pid` have been switched to another, by waiting or by force; threads that ended are missing.
 * source   proc_pid_status(5), of each task */
int64_t process_switches(pid_t pid);

/* The time that all processors together have not been idle since boot, by any process, the kernel, or (stolen) another
 * virtual machine.
 * units    ns, but counted in ticks of 10 ms and partly sampled: a few hundredths off over a second
 * source   proc_stat(5) */
int64_t process_machine_busy_ns(void);

/* The memory of `pid` as it is now; ends the program when it cannot be read.
 * source   proc_pid_smaps(5) */
process_memory process_memory_now(pid_t pid);

/* The memory of `pid` once it has stopped moving for 300 ms, or after 5 s. */
process_memory process_memory_settled(pid_t pid);

#endif
