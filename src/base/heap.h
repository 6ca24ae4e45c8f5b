/* heap.h - a heap of deadlines: the earliest first, equal ones in the order they came.   Layer: base. */
#ifndef PORTICO_BASE_HEAP_H
#define PORTICO_BASE_HEAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lives inside what is to be ordered. */
typedef struct heap_node {
  int64_t  due;
  uint64_t order; /* of arrival, breaks ties */
  size_t   index; /* where it is in the heap, from 1; 0 = in none */
} heap_node;

/* A place in the heap. Has the deadline at hand: with many, each look at a node would be a cache miss. */
typedef struct heap_entry {
  int64_t    due;
  heap_node *node;
} heap_entry;

/* Not thread-safe; the owner of the heap has the lock. */
typedef struct heap {
  heap_entry *entries;
  size_t      count, room;
  uint64_t    arrivals;
} heap;

/* Frees the array; the nodes are the caller's. A zeroed heap is an empty one. */
void heap_fini(heap *h);

/* Adds a node that is in no heap. errors: ENOMEM (nothing changed) */
int heap_insert(heap *h, heap_node *n, int64_t due);

/* Takes a node out. */
void heap_remove(heap *h, heap_node *n);

/* The earliest node, or NULL. */
heap_node *heap_first(const heap *h);

#endif
