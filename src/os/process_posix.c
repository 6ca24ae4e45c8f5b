/* process_posix.c - POSIX streams are binary; glibc's malloc can be told. */
#include "os/process.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

void os_stdio_binary(void) {
}

void os_memory_join_blocks(void) {
#ifdef __GLIBC__
  mallopt(M_MXFAST, 0);
#endif
}
