/* clock.h - the time.   Layer: os. */
#ifndef PORTICO_OS_CLOCK_H
#define PORTICO_OS_CLOCK_H
#include <stdint.h>

enum { OS_NS_PER_US = 1000, OS_NS_PER_MS = 1000000, OS_NS_PER_S = 1000000000 };

/* Monotonic time in ns since some fixed moment; the clock of all deadlines. */
int64_t os_clock_now(void);

/* Wall clock: ns since 1970-01-01 UTC. For logs only. */
int64_t os_clock_unix_ns(void);

#endif
