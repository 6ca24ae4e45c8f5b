/* process.h - settings of the whole process, for a main function to make.   Layer: os. */
#ifndef PORTICO_OS_PROCESS_H
#define PORTICO_OS_PROCESS_H

/* Makes stdin and stdout carry bytes unchanged; only Windows would do otherwise. */
void os_stdio_binary(void);

/* Has free() join neighbours at once, so that memory which was used in small blocks goes back to the system, too: glibc
 * keeps blocks of up to 128 bytes apart, and with them the pages they are on. */
void os_memory_join_blocks(void);

#endif
