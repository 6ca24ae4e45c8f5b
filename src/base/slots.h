/* slots.h - a table that gives out ids for pointers: what Lua and other threads hold instead of pointers.
 * Layer: base. An id is an index and a generation, so the id of something that is gone finds nothing, ever again. */
#ifndef PORTICO_BASE_SLOTS_H
#define PORTICO_BASE_SLOTS_H
#include <stddef.h>
#include <stdint.h>

typedef uint64_t slot_id; /* generation << 32 | index; 0 names nothing */
enum { SLOT_NONE = 0 };

typedef struct slot {
  void    *pointer; /* NULL = free */
  uint32_t generation;
  uint32_t next_free; /* index + 1 */
} slot;

/* Not thread-safe: the owner's strand has it. Zeroed = empty. */
typedef struct slots {
  slot    *table;
  uint32_t room, used; /* entries; of them ever used */
  uint32_t first_free; /* index + 1, 0 = none */
  uint32_t count;      /* pointers in it */
} slots;

/* Frees the table; what it pointed to is the caller's. */
void slots_fini(slots *s);

/* The index that the next pointer added will have, for who keeps something beside the table and makes room first. */
uint32_t slots_next(const slots *s);

/* Adds a pointer (not NULL). errors: ENOMEM */
int slots_add(slots *s, void *pointer, slot_id *out_id);

/* The index of an id, whether it is gone or not. */
static inline uint32_t slot_index(slot_id id) {
  return (uint32_t)id;
}

/* What the id names, or NULL if that is gone. */
void *slots_find(const slots *s, slot_id id);

/* Takes it out; the id is stale from now on. */
void slots_remove(slots *s, slot_id id);

/* The pointer at index i < s->used, or NULL: for walking the table. */
void *slots_at(const slots *s, uint32_t i);

#endif
