/* stdio.h - the standard streams.   Layer: os. */
#ifndef PORTICO_OS_STDIO_H
#define PORTICO_OS_STDIO_H

/* Makes stdin and stdout carry bytes unchanged; only Windows would do otherwise. */
void os_stdio_binary(void);

#endif
