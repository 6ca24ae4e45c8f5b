/* heap.c - binary heap in an array; each node knows its place, so that removal needs no search. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/error.h"

static bool heap_before(const heap_node *a, const heap_node *b) {
  return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void heap_put(heap *h, size_t index, heap_node *n) {
  h->nodes[index - 1] = n;
  n->index = index;
}

static void heap_rise(heap *h, size_t index, heap_node *n) {
  for (; index > 1 && heap_before(n, h->nodes[index / 2 - 1]); index /= 2) heap_put(h, index, h->nodes[index / 2 - 1]);
  heap_put(h, index, n);
}

static void heap_sink(heap *h, size_t index, heap_node *n) {
  for (;;) {
    size_t child = index * 2;
    if (child > h->count) break;
    if (child < h->count && heap_before(h->nodes[child], h->nodes[child - 1])) child++;
    if (!heap_before(h->nodes[child - 1], n)) break;
    heap_put(h, index, h->nodes[child - 1]);
    index = child;
  }
  heap_put(h, index, n);
}

void heap_fini(heap *h) {
  free(h->nodes);
  *h = (heap){0};
}

int heap_insert(heap *h, heap_node *n, int64_t due) {
  if (h->count == h->room) {
    size_t      room = h->room == 0 ? 16 : h->room * 2;
    heap_node **nodes = realloc(h->nodes, room * sizeof *nodes);
    if (nodes == NULL) return PORTICO_ENOMEM;
    h->nodes = nodes;
    h->room = room;
  }
  n->due = due;
  n->order = h->arrivals++;
  h->count++;
  heap_rise(h, h->count, n);
  return 0;
}

void heap_remove(heap *h, heap_node *n) {
  CHECK(n->index >= 1 && n->index <= h->count && h->nodes[n->index - 1] == n);
  size_t     index = n->index;
  heap_node *last = h->nodes[h->count - 1];
  h->count--;
  n->index = 0;
  if (last == n) return;
  if (index > 1 && heap_before(last, h->nodes[index / 2 - 1])) heap_rise(h, index, last);
  else heap_sink(h, index, last);
}

heap_node *heap_first(const heap *h) {
  return h->count > 0 ? h->nodes[0] : NULL;
}
