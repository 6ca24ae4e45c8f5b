/* process_win32.c - no translation of line ends; its heap needs no telling. */
#include "os/process.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>

void os_stdio_binary(void) {
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
}

void os_memory_join_blocks(void) {
}
