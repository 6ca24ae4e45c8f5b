/* process.h - settings of the whole process, for a main function to make.   Layer: os. */
#ifndef PORTICO_OS_PROCESS_H
#define PORTICO_OS_PROCESS_H
#include <stddef.h>

/* Opens the null device in place of those of stdin, stdout and stderr that are closed; else the next socket would be
 * taken for one. Using them fails as it did before: they are opened the wrong way round. (Windows: handles are not
 * handed out by number, so there is nothing to do.) */
void os_stdio_open(void);

/* Makes stdin and stdout carry bytes unchanged; only Windows would do otherwise. */
void os_stdio_binary(void);

/* Has free() join neighbours at once, so that memory which was used in small blocks goes back to the system, too: glibc
 * keeps blocks of up to 128 bytes apart, and with them the pages they are on. */
void os_memory_join_blocks(void);

/* Writes to stderr what goes without waiting. Nobody else who uses the same terminal or pipe finds it changed.
 * result   bytes written, from the first on. Fewer than len: the reader is behind, or has gone, or the disk is full.
 *          Windows has no such write: there it waits.
 * source   pipe(7) on O_NONBLOCK, proc(5) on /proc/PID/fd: opening a link there makes a file description of its own */
size_t os_stderr_offer(const void *data, size_t len);

#endif
