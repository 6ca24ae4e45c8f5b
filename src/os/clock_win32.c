/* clock_win32.c - clock.h by the performance counter and the precise system time. */
#include "os/clock.h"

#include <windows.h>

#include "os/sim_seam.h"

enum { UNIX_EPOCH_DAYS = 134774 }; /* from 1601-01-01, where FILETIME begins */

/* Asked each time: it is fixed at boot and read from memory shared with the kernel, and no state of ours is needed. */
static int64_t clock_frequency(void) {
  LARGE_INTEGER f;
  QueryPerformanceFrequency(&f); /* cannot fail since Windows XP */
  return f.QuadPart;
}

int64_t os_clock_now(void) {
  if (sim_virtual_here != NULL) return sim_clock_now();
  LARGE_INTEGER now;
  int64_t       frequency = clock_frequency();
  QueryPerformanceCounter(&now);
  /* Seconds and rest apart, or the product would overflow within minutes or days. */
  return now.QuadPart / frequency * OS_NS_PER_S + now.QuadPart % frequency * OS_NS_PER_S / frequency;
}

int64_t os_clock_unix_ns(void) {
  FILETIME t;
  GetSystemTimePreciseAsFileTime(&t);
  int64_t since_1601 = (int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime); /* in 100 ns */
  return (since_1601 - (int64_t)UNIX_EPOCH_DAYS * 86400 * 10000000) * 100;
}
