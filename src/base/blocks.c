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

void *blocks_new(blocks *b, size_t bytes) {
  size_t list = blocks_list(bytes);
  if (list >= BLOCKS_SIZES) return malloc(bytes);
  free_block *k = b->free[list];
  if (k == NULL) return malloc(blocks_room(list));
  b->free[list] = k->next;
  b->kept -= blocks_room(list);
  return k;
}

void blocks_free(blocks *b, void *old, size_t old_bytes, size_t keep) {
  size_t list = blocks_list(old_bytes);
  if (list >= BLOCKS_SIZES || b->kept >= keep) {
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
  if (from >= BLOCKS_SIZES && to >= BLOCKS_SIZES) return realloc(old, new_bytes);
  if (from == to) return old;
  void *made = blocks_new(b, new_bytes);
  if (made == NULL) return new_bytes <= old_bytes ? old : NULL; /* it has the room, and more */
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
