/* slots.c - free list through an array; a generation per entry, odd while it is in use, so that no id is 0. */
#include "base/slots.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"

enum { SLOTS_ROOM_FIRST = SIZED(16, 1) };

static int slots_grow(slots *s) {
  uint32_t room = s->room == 0 ? SLOTS_ROOM_FIRST : s->room * 2;
  slot    *table = realloc(s->table, room * sizeof *table);
  if (table == NULL) return PORTICO_ENOMEM;
  s->table = table;
  s->room = room;
  return 0;
}

void slots_fini(slots *s) {
  free(s->table);
  *s = (slots){0};
}

uint32_t slots_next(const slots *s) {
  return s->first_free == 0 ? s->used : s->first_free - 1;
}

int slots_add(slots *s, void *pointer, slot_id *out_id) {
  CHECK(pointer != NULL);
  if (s->first_free == 0) {
    int err = s->used == s->room ? slots_grow(s) : 0;
    if (err < 0) return err;
    s->table[s->used] = (slot){0}; /* not before: memory never touched is not there yet */
    s->first_free = ++s->used;
  }
  uint32_t index = s->first_free - 1;
  slot    *entry = &s->table[index];
  s->first_free = entry->next_free;
  entry->pointer = pointer;
  entry->generation++; /* now odd */
  s->count++;
  *out_id = (slot_id)entry->generation << 32 | index;
  return 0;
}

void *slots_find(const slots *s, slot_id id) {
  uint32_t index = slot_index(id);
  if (index >= s->used || s->table[index].generation != id >> 32) return NULL;
  return s->table[index].pointer;
}

void slots_remove(slots *s, slot_id id) {
  uint32_t index = slot_index(id);
  CHECK(slots_find(s, id) != NULL);
  slot *entry = &s->table[index];
  entry->pointer = NULL;
  entry->generation++; /* now even: no id matches */
  entry->next_free = s->first_free;
  s->first_free = index + 1;
  s->count--;
}

void *slots_at(const slots *s, uint32_t i) {
  CHECK(i < s->used);
  return s->table[i].pointer;
}
