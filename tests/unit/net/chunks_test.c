/* chunks_test.c - bytes come out as they went in, and chunks are used again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/chunks.h"

enum { MANY = 100000, LOOK_BUFS = 64 };

typedef struct fixture {
  chunk_pool pool;
  chunks     chunks;
  size_t     in, out; /* position in the pattern */
  uint32_t   dice;
  unsigned char bytes[MANY];
} fixture;

static int make_chunks(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->dice = 7;
  *state = f;
  return 0;
}

static int drop_chunks(void **state) {
  fixture *f = *state;
  chunks_drop(&f->chunks, &f->pool, f->chunks.bytes);
  chunk_pool_fini(&f->pool);
  free(f);
  return 0;
}

static unsigned char pattern(size_t at) {
  return (unsigned char)(at * 131 >> 3 ^ at);
}

static void append(fixture *f, size_t len) {
  for (size_t i = 0; i < len; i++) f->bytes[i] = pattern(f->in + i);
  assert_int_equal(chunks_append(&f->chunks, &f->pool, f->bytes, len), 0);
  f->in += len;
  assert_int_equal(f->chunks.bytes, f->in - f->out);
}

/* Looks at what is gathered. Returns how much that is. */
static size_t look(fixture *f, unsigned max_bufs, size_t max_bytes) {
  port_buf bufs[LOOK_BUFS];
  size_t   bytes = 0, sum = 0;
  unsigned count = chunks_gather(&f->chunks, bufs, max_bufs, max_bytes, &bytes);
  assert_true(count <= max_bufs);
  for (unsigned i = 0; i < count; i++) {
    assert_true(bufs[i].len > 0);
    for (size_t k = 0; k < bufs[i].len; k++) {
      if (((unsigned char *)bufs[i].data)[k] != pattern(f->out + sum + k)) fail_msg("byte %zu is wrong", f->out + sum);
    }
    sum += bufs[i].len;
  }
  assert_int_equal(sum, bytes);
  return bytes;
}

static void drop(fixture *f, size_t len) {
  chunks_drop(&f->chunks, &f->pool, len);
  f->out += len;
  assert_int_equal(f->chunks.bytes, f->in - f->out);
}

static void nothing_waits_in_an_empty_chain(void **state) {
  fixture *f = *state;
  assert_int_equal(look(f, LOOK_BUFS, SIZE_MAX), 0);
  drop(f, 0);
  append(f, 0);
  assert_int_equal(look(f, LOOK_BUFS, SIZE_MAX), 0);
  assert_null(f->chunks.last);
}

static void small_pieces_share_a_chunk(void **state) {
  fixture *f = *state;
  for (int i = 0; i < CHUNK_BYTES; i++) append(f, 1);
  assert_int_equal(look(f, 1, SIZE_MAX), CHUNK_BYTES);
  assert_ptr_equal(f->chunks.last->next, f->chunks.last);
}

static void a_long_piece_gets_a_chunk_of_its_own_size(void **state) {
  fixture *f = *state;
  append(f, MANY);
  assert_int_equal(look(f, 1, SIZE_MAX), MANY);
}

static void pieces_of_every_length_stay_in_order(void **state) {
  fixture            *f = *state;
  static const size_t lengths[] = {1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 7, MANY, 3};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) append(f, lengths[i]);
  assert_int_equal(look(f, LOOK_BUFS, SIZE_MAX), f->in);
}

static void gathering_stops_at_the_number_of_pieces(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 10; i++) append(f, CHUNK_BYTES);
  assert_int_equal(look(f, 3, SIZE_MAX), 3 * CHUNK_BYTES);
}

static void gathering_stops_when_there_are_enough_bytes(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 10; i++) append(f, CHUNK_BYTES);
  assert_int_equal(look(f, LOOK_BUFS, 2 * CHUNK_BYTES), 2 * CHUNK_BYTES);
  assert_int_equal(look(f, LOOK_BUFS, 2 * CHUNK_BYTES + 1), 3 * CHUNK_BYTES);
}

static void appending_leaves_gathered_pieces_where_they_are(void **state) {
  fixture *f = *state;
  append(f, 1);
  port_buf before, after;
  size_t   bytes;
  assert_int_equal(chunks_gather(&f->chunks, &before, 1, SIZE_MAX, &bytes), 1);
  append(f, 3 * CHUNK_BYTES);
  assert_int_equal(chunks_gather(&f->chunks, &after, 1, SIZE_MAX, &bytes), 1);
  assert_ptr_equal(before.data, after.data);
  assert_int_equal(bytes, CHUNK_BYTES); /* the first one was filled up */
}

static void dropping_forgets_exactly_so_many_bytes(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 5; i++) append(f, CHUNK_BYTES + 5);
  static const size_t steps[] = {1, 4, CHUNK_BYTES - 5, 1, 2 * CHUNK_BYTES + 5, 0};
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    drop(f, steps[i]);
    assert_int_equal(look(f, LOOK_BUFS, SIZE_MAX), f->in - f->out);
  }
  drop(f, f->chunks.bytes);
  assert_null(f->chunks.last);
  assert_null(f->chunks.last);
}

static void emptied_chunks_are_used_again(void **state) {
  fixture *f = *state;
  append(f, 1);
  chunk *k = f->chunks.last->next;
  drop(f, 1);
  assert_int_equal(f->pool.count, 1);
  append(f, 5);
  assert_ptr_equal(f->chunks.last->next, k);
  assert_int_equal(f->pool.count, 0);
  assert_int_equal(look(f, 1, SIZE_MAX), 5);
}

static void the_pool_keeps_usual_chunks_only_and_not_too_many(void **state) {
  fixture *f = *state;
  append(f, MANY);
  drop(f, MANY);
  assert_int_equal(f->pool.count, 0);
  for (int i = 0; i < CHUNK_POOL_MAX + 10; i++) append(f, CHUNK_BYTES);
  drop(f, f->chunks.bytes);
  assert_int_equal(f->pool.count, CHUNK_POOL_MAX);
  chunk_pool_fini(&f->pool);
  assert_int_equal(f->pool.count, 0);
  assert_null(f->pool.free);
}

static void any_mix_of_appending_and_dropping_keeps_the_bytes(void **state) {
  fixture *f = *state;
  for (int round = 0; round < 2000; round++) {
    f->dice = f->dice * 1664525 + 1013904223;
    size_t amount = (f->dice >> 8) % (round % 50 == 0 ? 3 * CHUNK_BYTES : 700);
    if (f->chunks.bytes < 4 * CHUNK_BYTES && (f->dice >> 4) % 2 == 0) append(f, amount);
    else drop(f, amount < f->chunks.bytes ? amount : f->chunks.bytes);
    if (round % 16 == 0) assert_int_equal(look(f, LOOK_BUFS, SIZE_MAX), f->in - f->out);
  }
}

int main(void) {
#define WITH_CHUNKS(test) cmocka_unit_test_setup_teardown(test, make_chunks, drop_chunks)
  const struct CMUnitTest tests[] = {
      WITH_CHUNKS(nothing_waits_in_an_empty_chain),
      WITH_CHUNKS(small_pieces_share_a_chunk),
      WITH_CHUNKS(a_long_piece_gets_a_chunk_of_its_own_size),
      WITH_CHUNKS(pieces_of_every_length_stay_in_order),
      WITH_CHUNKS(gathering_stops_at_the_number_of_pieces),
      WITH_CHUNKS(gathering_stops_when_there_are_enough_bytes),
      WITH_CHUNKS(appending_leaves_gathered_pieces_where_they_are),
      WITH_CHUNKS(dropping_forgets_exactly_so_many_bytes),
      WITH_CHUNKS(emptied_chunks_are_used_again),
      WITH_CHUNKS(the_pool_keeps_usual_chunks_only_and_not_too_many),
      WITH_CHUNKS(any_mix_of_appending_and_dropping_keeps_the_bytes),
  };
  return cmocka_run_group_tests_name("chunks", tests, NULL, NULL);
}
