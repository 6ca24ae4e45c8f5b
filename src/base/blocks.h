/* blocks.h - small blocks of memory, kept for the next one who asks: what malloc does, without its locks and checks.
 * Layer: base. For an owner that takes and gives many blocks of few sizes all the time, as a Lua state does. */
#ifndef PORTICO_BASE_BLOCKS_H
#define PORTICO_BASE_BLOCKS_H
#include <stddef.h>

#include "base/sized.h"

enum { BLOCKS_SIZES = SIZED(257, 3) }; /* of 8, 24, 40, ... 4104 bytes: just what glibc's malloc has room for */

typedef struct free_block {
  struct free_block *next;
} free_block;

/* Not thread-safe. Zeroed = empty. */
typedef struct blocks {
  size_t      kept; /* bytes in the lists */
  free_block *free[BLOCKS_SIZES];
} blocks;

/* As malloc. */
void *blocks_new(blocks *b, size_t bytes);

/* As realloc, with the old size known and new_bytes > 0. With `keep` bytes or more in the lists what
 * is given back goes to the system.
 * result   NULL if there is no memory (nothing changed); never when a block gets smaller */
void *blocks_resize(blocks *b, void *old, size_t old_bytes, size_t new_bytes, size_t keep);

/* Gives back a block of that size. */
void blocks_free(blocks *b, void *old, size_t old_bytes, size_t keep);

/* Gives all that is kept back to the system. */
void blocks_drop(blocks *b);

#endif
