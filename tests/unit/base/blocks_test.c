/* blocks_test.c - blocks keep what is in them, are used again, and do not pile up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/blocks.h"

enum { KEEP = 4096, MANY = 300 };

static int make_blocks(void **state) {
  *state = calloc(1, sizeof(blocks));
  return *state != NULL ? 0 : -1;
}

static int drop_blocks(void **state) {
  blocks *b = *state;
  blocks_drop(b);
  bool empty = b->kept == 0;
  free(b);
  return empty ? 0 : -1;
}

static void *take(blocks *b, size_t bytes) {
  void *made = blocks_new(b, bytes);
  assert_non_null(made);
  memset(made, (int)bytes, bytes);
  return made;
}

static void a_block_given_back_is_the_next_of_its_size(void **state) {
  blocks *b = *state;
  void   *first = take(b, 40);
  blocks_free(b, first, 40, KEEP);
  assert_true(b->kept >= 40);
  void *other = take(b, 20);
  assert_ptr_not_equal(other, first);
  assert_ptr_equal(take(b, 38), first); /* there is one block for sizes that are nearly alike */
  assert_int_equal(b->kept, 0);
  blocks_free(b, first, 38, KEEP);
  blocks_free(b, other, 20, KEEP);
}

static void resize(blocks *b, size_t from, size_t to) {
  unsigned char *block = take(b, from);
  block = blocks_resize(b, block, from, to, KEEP);
  assert_non_null(block);
  for (size_t i = 0; i < from && i < to; i++) assert_int_equal(block[i], from & 255);
  memset(block, 0xEE, to); /* all of it is ours */
  blocks_free(b, block, to, KEEP);
}

static void resizing_keeps_the_content_across_every_border(void **state) {
  blocks *b = *state;
  for (size_t from = 1; from < 200; from += 3) {
    for (size_t to = 1; to < 200; to += 7) resize(b, from, to);
  }
  const size_t near = 16 * BLOCKS_SIZES - 32; /* the last of the lists, and beyond */
  for (size_t from = near; from < near + 50; from += 3) {
    for (size_t to = near; to < near + 50; to += 7) {
      resize(b, from, to);
      resize(b, from - near + 1, to);
      resize(b, from, to - near + 1);
    }
  }
}

static void no_more_than_asked_for_is_kept(void **state) {
  blocks *b = *state;
  void   *all[MANY];
  for (size_t i = 0; i < MANY; i++) all[i] = take(b, 40);
  for (size_t i = 0; i < MANY; i++) blocks_free(b, all[i], 40, KEEP);
  assert_in_range(b->kept, KEEP, KEEP + 128);
  void *one = take(b, 40);
  blocks_drop(b);
  blocks_free(b, one, 40, 0);
  assert_int_equal(b->kept, 0);
}

static void large_blocks_pass_through(void **state) {
  blocks *b = *state;
  void   *large = take(b, 100000);
  large = blocks_resize(b, large, 100000, 200000, KEEP);
  assert_non_null(large);
  blocks_free(b, large, 200000, KEEP);
  assert_int_equal(b->kept, 0);
}

int main(void) {
#define WITH_BLOCKS(test) cmocka_unit_test_setup_teardown(test, make_blocks, drop_blocks)
  const struct CMUnitTest tests[] = {
      WITH_BLOCKS(a_block_given_back_is_the_next_of_its_size),
      WITH_BLOCKS(resizing_keeps_the_content_across_every_border),
      WITH_BLOCKS(no_more_than_asked_for_is_kept),
      WITH_BLOCKS(large_blocks_pass_through),
  };
  return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
