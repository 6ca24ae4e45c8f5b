/* chunks.h - bytes that wait to be sent: a chain of chunks, from a pool that a strand shares.   Layer: net.
 * A connection with nothing to send owns no chunk; a busy one reuses the same few. */
#ifndef PORTICO_NET_CHUNKS_H
#define PORTICO_NET_CHUNKS_H
#include <stddef.h>

#include "base/sized.h"
#include "port/port.h"

enum {
  CHUNK_BYTES = SIZED(16 * 1024, 7), /* of a pooled chunk; longer pieces get a chunk of their own size */
  CHUNK_POOL_MAX = SIZED(64, 1), /* chunks kept for reuse */
};

typedef struct chunk chunk;
struct chunk {
  chunk        *next;
  size_t        room, begin, end; /* data[begin..end) waits */
  unsigned char data[];
};

/* Free chunks of one strand; touched only there. Zeroed = empty. */
typedef struct chunk_pool {
  chunk   *free;
  unsigned count;
} chunk_pool;

/* Frees the chunks that are kept. */
void chunk_pool_fini(chunk_pool *pool);

/* The bytes of one connection, in order. Zeroed = empty. */
typedef struct chunks {
  chunk *last; /* of a ring: its next is the first; NULL = none */
  size_t bytes;
} chunks;

/* Copies data behind what waits. errors: ENOMEM (nothing was added) */
int chunks_append(chunks *c, chunk_pool *pool, const void *data, size_t len);

/* Lists the first bytes, up to max_bufs pieces and about max_bytes, without taking them out; appending leaves them
 * where they are.
 * result   pieces; *out_bytes = their sum */
unsigned chunks_gather(const chunks *c, port_buf *out_bufs, unsigned max_bufs, size_t max_bytes, size_t *out_bytes);

/* Forgets the first n bytes. */
void chunks_drop(chunks *c, chunk_pool *pool, size_t n);

#endif
