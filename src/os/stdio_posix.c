/* stdio_posix.c - POSIX streams are binary. */
#include "os/stdio.h"

void os_stdio_binary(void) {
}
