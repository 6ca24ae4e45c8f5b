/* capture.h - what is printed meanwhile to stdout and stderr. */
#ifndef PORTICO_TESTS_FUZZ_CAPTURE_H
#define PORTICO_TESTS_FUZZ_CAPTURE_H
#include <stdbool.h>

/* NUL-terminated. */
typedef struct captured {
  char *out, *err;
} captured;

/* Prints to files from now on. Not inside another capture. */
void capture_begin(void);

/* Prints as before; what was printed is the caller's to free.
 * result   false: it cannot be had, for on Windows the streams are no variables */
bool capture_end(captured *out_captured);

#endif
