#include "payload.h"

#include "fail.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Primes: connections that start 17 messages apart meet only after as many of them. Of large messages there are fewer,
 * so that the load's time goes into the kernel and not into fetching megabytes of its own memory. */
enum { LOOP_MESSAGES = 509, LOOP_MESSAGES_LARGE = 31, LARGE_BYTES = 16 * 1024 };

/* xorshift64: bytes that do not repeat where an off-by-one would hide. */
static uint64_t next_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

void payload_make(payload *p, size_t message_bytes, size_t in_flight_max) {
  size_t messages = message_bytes < LARGE_BYTES ? LOOP_MESSAGES : LOOP_MESSAGES_LARGE;
  if (messages < in_flight_max) messages = in_flight_max;
  size_t tail_bytes = in_flight_max * message_bytes;
  p->message_bytes = message_bytes;
  p->loop_bytes = messages * message_bytes;
  p->bytes = malloc(p->loop_bytes + tail_bytes);
  if (p->bytes == NULL) fail("out of memory for messages of %zu bytes", message_bytes);
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i < p->loop_bytes; i++) p->bytes[i] = (char)('a' + next_random(&state) % 26);
  for (size_t i = 1; message_bytes > 1 && i <= messages; i++) p->bytes[i * message_bytes - 1] = '\n';
  memcpy(p->bytes + p->loop_bytes, p->bytes, tail_bytes);
}

size_t payload_start(const payload *p, size_t index) { return index * 17 * p->message_bytes % p->loop_bytes; }

size_t payload_advance(const payload *p, size_t at, size_t len_bytes) {
  at += len_bytes;
  return at < p->loop_bytes ? at : at - p->loop_bytes;
}

void payload_drop(payload *p) {
  free(p->bytes);
  p->bytes = NULL;
}
