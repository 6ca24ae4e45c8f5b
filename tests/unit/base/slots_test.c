/* slots_test.c - ids find what they were given for, and nothing after it is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/slots.h"

enum { THINGS = 200 };

typedef struct fixture {
  slots   slots;
  slot_id ids[THINGS]; /* 0 = not in the table */
  char    things[THINGS];
  uint32_t dice;
} fixture;

static int make_slots(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->dice = 99;
  *state = f;
  return 0;
}

static int drop_slots(void **state) {
  fixture *f = *state;
  slots_fini(&f->slots);
  free(f);
  return 0;
}

static void add(fixture *f, size_t i) {
  assert_int_equal(slots_add(&f->slots, &f->things[i], &f->ids[i]), 0);
}

static void an_id_is_never_zero_and_zero_finds_nothing(void **state) {
  fixture *f = *state;
  assert_null(slots_find(&f->slots, SLOT_NONE));
  add(f, 0);
  assert_true(f->ids[0] != SLOT_NONE);
  assert_null(slots_find(&f->slots, SLOT_NONE));
}

static void an_id_finds_its_pointer(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < THINGS; i++) add(f, i);
  for (size_t i = 0; i < THINGS; i++) assert_ptr_equal(slots_find(&f->slots, f->ids[i]), &f->things[i]);
  assert_int_equal(f->slots.count, THINGS);
}

static void the_id_of_something_gone_finds_nothing_ever_again(void **state) {
  fixture *f = *state;
  slot_id  old[100];
  for (int i = 0; i < 100; i++) { /* the same entry again and again */
    add(f, 0);
    old[i] = f->ids[0];
    for (int k = 0; k < i; k++) assert_null(slots_find(&f->slots, old[k]));
    slots_remove(&f->slots, f->ids[0]);
    assert_null(slots_find(&f->slots, f->ids[0]));
  }
  assert_int_equal(f->slots.used, 1);
  assert_int_equal(f->slots.count, 0);
}

static void an_invented_id_finds_nothing(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < 20; i++) add(f, i);
  slots_remove(&f->slots, f->ids[3]);
  static const uint64_t inventions[] = {1, UINT64_MAX, (uint64_t)1 << 32 | 20, (uint64_t)1 << 32 | UINT32_MAX,
                                        (uint64_t)2 << 32, (uint64_t)2 << 32 | 3, 3};
  for (size_t i = 0; i < sizeof inventions / sizeof inventions[0]; i++) {
    assert_null(slots_find(&f->slots, inventions[i]));
  }
}

static void free_entries_are_used_again_before_the_table_grows(void **state) {
  fixture *f = *state;
  for (size_t i = 0; i < 16; i++) add(f, i);
  uint32_t used = f->slots.used;
  for (size_t i = 0; i < 16; i++) slots_remove(&f->slots, f->ids[i]);
  for (size_t i = 0; i < 16; i++) add(f, i);
  assert_int_equal(f->slots.used, used);
}

static void a_walk_meets_each_pointer_once(void **state) {
  fixture *f = *state;
  size_t   met = 0;
  for (size_t i = 0; i < THINGS; i++) add(f, i);
  for (size_t i = 0; i < THINGS; i += 2) slots_remove(&f->slots, f->ids[i]);
  for (uint32_t i = 0; i < f->slots.used; i++) {
    char *thing = slots_at(&f->slots, i);
    if (thing == NULL) continue;
    assert_int_equal((thing - f->things) % 2, 1);
    (*thing)++;
    met++;
  }
  assert_int_equal(met, THINGS / 2);
  for (size_t i = 1; i < THINGS; i += 2) assert_int_equal(f->things[i], 1);
}

static void any_mix_of_adding_and_removing_keeps_every_id_right(void **state) {
  fixture *f = *state;
  uint32_t count = 0;
  for (int round = 0; round < 20000; round++) {
    f->dice = f->dice * 1664525 + 1013904223;
    size_t i = (f->dice >> 8) % THINGS;
    if (f->ids[i] == SLOT_NONE) {
      add(f, i);
      count++;
    } else {
      slot_id gone = f->ids[i];
      slots_remove(&f->slots, gone);
      f->ids[i] = SLOT_NONE;
      assert_null(slots_find(&f->slots, gone));
      count--;
    }
    assert_int_equal(f->slots.count, count);
  }
  for (size_t i = 0; i < THINGS; i++) {
    if (f->ids[i] != SLOT_NONE) assert_ptr_equal(slots_find(&f->slots, f->ids[i]), &f->things[i]);
  }
}

int main(void) {
#define WITH_SLOTS(test) cmocka_unit_test_setup_teardown(test, make_slots, drop_slots)
  const struct CMUnitTest tests[] = {
      WITH_SLOTS(an_id_is_never_zero_and_zero_finds_nothing),
      WITH_SLOTS(an_id_finds_its_pointer),
      WITH_SLOTS(the_id_of_something_gone_finds_nothing_ever_again),
      WITH_SLOTS(an_invented_id_finds_nothing),
      WITH_SLOTS(free_entries_are_used_again_before_the_table_grows),
      WITH_SLOTS(a_walk_meets_each_pointer_once),
      WITH_SLOTS(any_mix_of_adding_and_removing_keeps_every_id_right),
  };
  return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
