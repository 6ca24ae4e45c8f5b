/* heap_test.c - the order of deadlines, against a plain search through an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/heap.h"

enum { NODES = 300 };

typedef struct fixture {
  heap      heap;
  heap_node nodes[NODES];
  uint32_t  dice;
} fixture;

static int make_heap(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->dice = 12345;
  *state = f;
  return 0;
}

static int drop_heap(void **state) {
  fixture *f = *state;
  heap_fini(&f->heap);
  free(f);
  return 0;
}

static uint32_t roll(fixture *f, uint32_t sides) {
  f->dice = f->dice * 1664525 + 1013904223;
  return (f->dice >> 8) % sides;
}

static void insert(fixture *f, size_t i, int64_t due) {
  assert_int_equal(heap_insert(&f->heap, &f->nodes[i], due), 0);
  assert_true(f->nodes[i].index > 0);
}

/* What heap_first should say: a node that is in no heap has index 0. */
static heap_node *earliest(fixture *f) {
  heap_node *best = NULL;
  for (heap_node *n = f->nodes; n < f->nodes + NODES; n++) {
    if (n->index == 0) continue;
    if (best == NULL || n->due < best->due || (n->due == best->due && n->order < best->order)) best = n;
  }
  return best;
}

static void an_empty_heap_has_no_first(void **state) {
  fixture *f = *state;
  assert_null(heap_first(&f->heap));
}

static void nodes_leave_by_their_deadline(void **state) {
  fixture             *f = *state;
  static const int64_t dues[] = {5, -7, INT64_MAX, 0, INT64_MIN, 3};
  static const size_t  order[] = {4, 1, 3, 5, 0, 2};
  for (size_t i = 0; i < 6; i++) insert(f, i, dues[i]);
  for (size_t i = 0; i < 6; i++) {
    assert_ptr_equal(heap_first(&f->heap), &f->nodes[order[i]]);
    heap_remove(&f->heap, heap_first(&f->heap));
    assert_int_equal(f->nodes[order[i]].index, 0);
  }
  assert_null(heap_first(&f->heap));
}

static void equal_deadlines_leave_in_the_order_they_came(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < NODES; i++) insert(f, i, 7);
  for (size_t i = 0; i < NODES; i++) {
    assert_ptr_equal(heap_first(&f->heap), &f->nodes[i]);
    heap_remove(&f->heap, &f->nodes[i]);
  }
}

static void a_removed_node_can_be_inserted_again(void **state) {
  fixture *f = *state;
  insert(f, 0, 1);
  insert(f, 1, 2);
  heap_remove(&f->heap, &f->nodes[0]);
  assert_ptr_equal(heap_first(&f->heap), &f->nodes[1]);
  insert(f, 0, 3);
  assert_ptr_equal(heap_first(&f->heap), &f->nodes[1]);
  assert_int_equal(f->heap.count, 2);
}

static void any_mix_of_inserts_and_removals_keeps_the_order(void **state) {
  fixture *f = *state;
  for (int round = 0; round < 20000; round++) {
    size_t i = roll(f, NODES);
    if (f->nodes[i].index > 0) heap_remove(&f->heap, &f->nodes[i]); /* from anywhere, not only the top */
    else insert(f, i, roll(f, 50));
    assert_ptr_equal(heap_first(&f->heap), earliest(f));
  }
  while (heap_first(&f->heap) != NULL) {
    assert_ptr_equal(heap_first(&f->heap), earliest(f));
    heap_remove(&f->heap, heap_first(&f->heap));
  }
  assert_int_equal(f->heap.count, 0);
}

static void a_freed_heap_is_an_empty_one(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < 40; i++) insert(f, i, 1);
  heap_fini(&f->heap);
  assert_null(heap_first(&f->heap));
  memset(f->nodes, 0, sizeof f->nodes);
  insert(f, 0, 9);
  assert_ptr_equal(heap_first(&f->heap), &f->nodes[0]);
}

int main(void) {
#define WITH_HEAP(test) cmocka_unit_test_setup_teardown(test, make_heap, drop_heap)
  const struct CMUnitTest tests[] = {
      WITH_HEAP(an_empty_heap_has_no_first),
      WITH_HEAP(nodes_leave_by_their_deadline),
      WITH_HEAP(equal_deadlines_leave_in_the_order_they_came),
      WITH_HEAP(a_removed_node_can_be_inserted_again),
      WITH_HEAP(any_mix_of_inserts_and_removals_keeps_the_order),
      WITH_HEAP(a_freed_heap_is_an_empty_one),
  };
  return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
