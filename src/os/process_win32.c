/* process_win32.c - no translation of line ends; its heap needs no telling. */
#include "os/process.h"

#include <fcntl.h>
#include <io.h>
#include <stdio.h>

void os_stdio_binary(void) {
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
}

void os_stdio_open(void) {
}

void os_memory_join_blocks(void) {
}

size_t os_stderr_offer(const void *data, size_t len) {
  return fwrite(data, 1, len, stderr);
}
