/* heap.c - heap in an array; each node knows its place, so that removal needs no search. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"
#include "base/sized.h"

enum { HEAP_CHILDREN = 4 }; /* half the levels of a binary heap, and the children of a node lie side by side */
enum { HEAP_ROOM_FIRST = SIZED(16, 1) };

static bool heap_before(heap_entry a, heap_entry b) {
  return a.due != b.due ? a.due < b.due : a.node->order < b.node->order;
}

/* Indices count from 1. */
static size_t heap_parent(size_t index) {
  return (index + HEAP_CHILDREN - 2) / HEAP_CHILDREN;
}

static void heap_put(heap *h, size_t index, heap_entry e) {
  h->entries[index - 1] = e;
  e.node->index = index;
}

static void heap_rise(heap *h, size_t index, heap_entry e) {
  while (index > 1 && heap_before(e, h->entries[heap_parent(index) - 1])) {
    heap_put(h, index, h->entries[heap_parent(index) - 1]);
    index = heap_parent(index);
  }
  heap_put(h, index, e);
}

/* The child that comes first, 0 = none. */
static size_t heap_child(const heap *h, size_t index) {
  size_t first = HEAP_CHILDREN * (index - 1) + 2;
  if (first > h->count) return 0;
  size_t end = first + HEAP_CHILDREN <= h->count ? first + HEAP_CHILDREN : h->count + 1;
  size_t best = first;
  for (size_t i = first + 1; i < end; i++) {
    if (heap_before(h->entries[i - 1], h->entries[best - 1])) best = i;
  }
  return best;
}

static void heap_sink(heap *h, size_t index, heap_entry e) {
  for (size_t child = heap_child(h, index); child != 0; child = heap_child(h, index)) {
    if (!heap_before(h->entries[child - 1], e)) break;
    heap_put(h, index, h->entries[child - 1]);
    index = child;
  }
  heap_put(h, index, e);
}

void heap_fini(heap *h) {
  free(h->entries);
  *h = (heap){0};
}

int heap_insert(heap *h, heap_node *n, int64_t due) {
  if (h->count == h->room) {
    size_t      room = h->room == 0 ? HEAP_ROOM_FIRST : h->room * 2;
    heap_entry *entries = realloc(h->entries, room * sizeof *entries);
    if (entries == NULL) return PORTICO_ENOMEM;
    h->entries = entries;
    h->room = room;
  }
  n->due = due;
  n->order = h->arrivals++;
  h->count++;
  heap_rise(h, h->count, (heap_entry){due, n});
  return 0;
}

void heap_remove(heap *h, heap_node *n) {
  CHECK(n->index >= 1 && n->index <= h->count && h->entries[n->index - 1].node == n);
  size_t     index = n->index;
  heap_entry last = h->entries[h->count - 1];
  h->count--;
  n->index = 0;
  if (last.node == n) return;
  if (index > 1 && heap_before(last, h->entries[heap_parent(index) - 1])) heap_rise(h, index, last);
  else heap_sink(h, index, last);
}

heap_node *heap_first(const heap *h) {
  return h->count > 0 ? h->entries[0].node : NULL;
}
