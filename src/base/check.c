/* check.c - the end of a program that has a bug of ours. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *what, const char *file, int line) { /* uncovered: it ends the program */
  fprintf(stderr, "portico: broken invariant: %s (%s:%d)\n", what, file, line);
  fflush(stderr);
  abort();
}
