/* chunks.c - a send queue without an allocation per message. */
#include "net/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"

static chunk *chunk_take(chunk_pool *pool, size_t bytes) {
  chunk *k = bytes <= CHUNK_BYTES ? pool->free : NULL;
  if (k != NULL) {
    pool->free = k->next;
    pool->count--;
  } else {
    size_t room = bytes <= CHUNK_BYTES ? CHUNK_BYTES : bytes;
    k = malloc(sizeof *k + room);
    if (k == NULL) return NULL;
    k->room = room;
  }
  k->begin = k->end = 0;
  return k;
}

static void chunk_give_back(chunk_pool *pool, chunk *k) {
  if (k->room != CHUNK_BYTES || pool->count == CHUNK_POOL_MAX) {
    free(k);
    return;
  }
  k->next = pool->free;
  pool->free = k;
  pool->count++;
}

void chunk_pool_fini(chunk_pool *pool) {
  while (pool->free != NULL) {
    chunk *k = pool->free;
    pool->free = k->next;
    free(k);
  }
  pool->count = 0;
}

int chunks_append(chunks *c, chunk_pool *pool, const void *data, size_t len) {
  size_t fits = c->last == NULL ? 0 : c->last->room - c->last->end;
  if (fits > len) fits = len;
  chunk *more = NULL;
  if (fits < len) {
    more = chunk_take(pool, len - fits);
    if (more == NULL) return PORTICO_ENOMEM;
    memcpy(more->data, (const char *)data + fits, len - fits);
    more->end = len - fits;
  }
  if (fits > 0) {
    memcpy(c->last->data + c->last->end, data, fits);
    c->last->end += fits;
  }
  if (more != NULL) {
    more->next = c->last != NULL ? c->last->next : more;
    if (c->last != NULL) c->last->next = more;
    c->last = more;
  }
  c->bytes += len;
  return 0;
}

unsigned chunks_gather(const chunks *c, port_buf *out_bufs, unsigned max_bufs, size_t max_bytes, size_t *out_bytes) {
  unsigned n = 0;
  size_t   bytes = 0;
  for (chunk *k = c->last; k != NULL && n < max_bufs && bytes < max_bytes;) {
    k = k->next;
    out_bufs[n++] = (port_buf){.data = k->data + k->begin, .len = k->end - k->begin};
    bytes += k->end - k->begin;
    if (k == c->last) break;
  }
  *out_bytes = bytes;
  return n;
}

void chunks_drop(chunks *c, chunk_pool *pool, size_t n) {
  CHECK(n <= c->bytes);
  c->bytes -= n;
  if (c->bytes == 0 && c->last != NULL && c->last->next == c->last) { /* nearly always */
    chunk_give_back(pool, c->last);
    c->last = NULL;
    return;
  }
  while (n > 0) {
    chunk *k = c->last->next;
    size_t part = k->end - k->begin < n ? k->end - k->begin : n;
    k->begin += part;
    n -= part;
    if (k->begin < k->end) return;
    if (k == c->last) c->last = NULL;
    else c->last->next = k->next;
    chunk_give_back(pool, k);
  }
}
