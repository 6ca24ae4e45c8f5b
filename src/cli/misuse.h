/* misuse.h - exit codes, and the answer to a command line that makes no sense.   Layer: cli. */
#ifndef PORTICO_CLI_MISUSE_H
#define PORTICO_CLI_MISUSE_H
#include <stddef.h>

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_MISUSED = 2 };

/* Prints "portico: <the message>" as one line on stderr.
 * result   CLI_MISUSED, to be returned from main */
int misuse(const char *format, ...);

/* The name that a mistyped word probably meant: one of names(0), names(1), ... until NULL.
 * result   NULL if none is near */
const char *misuse_guess(const char *word, const char *(*names)(size_t index));

#endif
