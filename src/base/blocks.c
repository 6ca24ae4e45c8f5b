/* blocks.c - a free list for each size. */
#include "base/blocks.h"

#include <stdlib.h>
#include <string.h>

/* Index of the list for a size; BLOCKS_SIZES or more = none. */
static size_t blocks_list(size_t bytes) {
  return (bytes + 7) / 16;
}

/* Size of the blocks in a list. */
static size_t blocks_room(size_t list) {
  return list * 16 + 8;
}

static void *blocks_take(blocks *b, size_t list) {
  free_block *k = b->free[list];
  if (k == NULL) return malloc(blocks_room(list));
  b->free[list] = k->next;
  b->kept -= blocks_room(list);
  return k;
}

void blocks_free(blocks *b, void *old, size_t old_bytes, size_t keep) {
  size_t list = blocks_list(old_bytes);
  if (old == NULL || list >= BLOCKS_SIZES || b->kept >= keep) {
    free(old);
    return;
  }
  free_block *k = old;
  k->next = b->free[list];
  b->free[list] = k;
  b->kept += blocks_room(list);
}

void *blocks_resize(blocks *b, void *old, size_t old_bytes, size_t new_bytes, size_t keep) {
  size_t from = blocks_list(old_bytes);
  size_t to = blocks_list(new_bytes);
  if (old != NULL && from >= BLOCKS_SIZES && to >= BLOCKS_SIZES) return realloc(old, new_bytes);
  if (old != NULL && from == to) return old;
  void *made = to < BLOCKS_SIZES ? blocks_take(b, to) : malloc(new_bytes);
  if (made == NULL && old != NULL && new_bytes <= old_bytes) return old; /* it has the room, and more */
  if (made == NULL || old == NULL) return made;
  memcpy(made, old, old_bytes < new_bytes ? old_bytes : new_bytes);
  blocks_free(b, old, old_bytes, keep);
  return made;
}

void blocks_drop(blocks *b) {
  for (size_t i = 0; i < BLOCKS_SIZES; i++) {
    while (b->free[i] != NULL) {
      free_block *k = b->free[i];
      b->free[i] = k->next;
      free(k);
    }
  }
  b->kept = 0;
}
