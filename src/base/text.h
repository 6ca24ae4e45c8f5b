/* text.h - text of others, made fit for a message.   Layer: base. */
#ifndef PORTICO_BASE_TEXT_H
#define PORTICO_BASE_TEXT_H
#include <stddef.h>

/* Copies text for a message of one line: bytes that end a line or drive a terminal become "?", and what is longer than
 * the room ends in "...".
 * shape    out_bytes >= 4; out is always NUL-terminated */
void text_show(const char *text, char *out, size_t out_bytes);

#endif
