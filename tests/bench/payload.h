/* payload.h - the bytes that are sent, and so the bytes that must come back.
 *
 * One long run of pseudo-random messages is made beforehand. A connection sends it from its own starting message on,
 * wrapping around, and compares what returns with the same run: a lost, doubled, swapped or foreign byte is
 * noticed, and no time goes into making messages while the clock runs. Messages are lower-case letters ended by a
 * new line, so that a server that reads lines can echo them too and none looks like a command (sleeper.h). */
#ifndef PORTICO_BENCH_PAYLOAD_H
#define PORTICO_BENCH_PAYLOAD_H

#include <stddef.h>

typedef struct payload {
  char  *bytes;      /* loop_bytes, and then once more the first burst of messages: a burst never wraps */
  size_t loop_bytes; /* a multiple of message_bytes */
  size_t message_bytes;
} payload;

/* Makes a run of messages of which a connection may have `in_flight_max` on their way. */
void payload_make(payload *p, size_t message_bytes, size_t in_flight_max);

/* Where the run of connection number `index` starts. */
size_t payload_start(const payload *p, size_t index);

/* The position `len_bytes` after `at`; len_bytes is at most the loop. */
size_t payload_advance(const payload *p, size_t at, size_t len_bytes);

/* Gives the memory back. */
void payload_drop(payload *p);

#endif
