/* log_test.c - what becomes a record, and that records come one at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"

enum { TEXT_BYTES = 10000 };

typedef struct fixture {
  logger             logger;
  portico_log_record record; /* the last one; its text is in `text` */
  char               text[TEXT_BYTES];
  int                records, locks, depth, unlocked; /* unlocked: records that came outside the lock */
} fixture;

static int64_t half_past(void) {
  return 1800;
}

static void lock(void *mutex) {
  fixture *f = mutex;
  f->locks++;
  f->depth++;
}

static void unlock(void *mutex) {
  fixture *f = mutex;
  f->depth--;
}

static void take(const portico_log_record *record, void *arg) {
  fixture *f = arg;
  f->record = *record;
  f->records++;
  if (f->depth != 1) f->unlocked++;
  strncpy(f->text, record->text, sizeof f->text - 1);
}

static int make_logger(void **state) {
  fixture *f = calloc(1, sizeof *f);
  if (f == NULL) return -1;
  f->logger = (logger){.level = PORTICO_LOG_INFO, .fn = take, .arg = f, .clock = half_past, .lock = lock,
                       .unlock = unlock, .mutex = f};
  *state = f;
  return 0;
}

static int drop_logger(void **state) {
  fixture *f = *state;
  int      bad = f->depth != 0 || f->unlocked != 0 || f->locks != f->records;
  free(f);
  return bad ? -1 : 0;
}

static void a_record_says_level_time_vm_and_text(void **state) {
  fixture *f = *state;
  log_write(&f->logger, PORTICO_LOG_WARN, 3, "%s: %d", "answer", 42);
  assert_int_equal(f->records, 1);
  assert_int_equal(f->record.level, PORTICO_LOG_WARN);
  assert_int_equal(f->record.unix_ns, 1800);
  assert_int_equal(f->record.vm, 3);
  assert_string_equal(f->text, "answer: 42");
}

static void a_record_below_the_level_is_not_made(void **state) {
  fixture *f = *state;
  assert_false(log_wants(&f->logger, PORTICO_LOG_DEBUG));
  log_write(&f->logger, PORTICO_LOG_DEBUG, 0, "quiet");
  assert_int_equal(f->records, 0);
  for (int level = PORTICO_LOG_INFO; level < PORTICO_LOG_OFF; level++) {
    assert_true(log_wants(&f->logger, (portico_log_level)level));
    log_write(&f->logger, (portico_log_level)level, 0, "heard");
  }
  assert_int_equal(f->records, 3);
}

static void level_off_hears_nothing(void **state) {
  fixture *f = *state;
  f->logger.level = PORTICO_LOG_OFF;
  for (int level = PORTICO_LOG_DEBUG; level <= PORTICO_LOG_OFF; level++) {
    assert_false(log_wants(&f->logger, (portico_log_level)level));
    log_write(&f->logger, (portico_log_level)level, 0, "quiet");
  }
  assert_int_equal(f->records, 0);
}

static void off_is_no_level_of_a_record(void **state) {
  fixture *f = *state;
  assert_false(log_wants(&f->logger, PORTICO_LOG_OFF));
}

static void without_a_function_nothing_happens(void **state) {
  fixture *f = *state;
  f->logger.fn = NULL;
  assert_false(log_wants(&f->logger, PORTICO_LOG_ERROR));
  log_write(&f->logger, PORTICO_LOG_ERROR, 0, "into the void");
  assert_int_equal(f->locks, 0);
}

static void long_texts_are_not_cut(void **state) {
  fixture            *f = *state;
  static const size_t lengths[] = {0, 1, 1022, 1023, 1024, 1025, 9000};
  static char         text[TEXT_BYTES];
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    memset(text, 'x', lengths[i]);
    text[lengths[i]] = '\0';
    memset(f->text, 0, sizeof f->text);
    log_write(&f->logger, PORTICO_LOG_INFO, 0, "%s", text);
    assert_string_equal(f->text, text);
  }
}

static void a_percent_sign_in_an_argument_is_only_text(void **state) {
  fixture *f = *state;
  log_write(&f->logger, PORTICO_LOG_INFO, 0, "%s", "100%n %s");
  assert_string_equal(f->text, "100%n %s");
}

int main(void) {
#define WITH_LOGGER(test) cmocka_unit_test_setup_teardown(test, make_logger, drop_logger)
  const struct CMUnitTest tests[] = {
      WITH_LOGGER(a_record_says_level_time_vm_and_text),
      WITH_LOGGER(a_record_below_the_level_is_not_made),
      WITH_LOGGER(level_off_hears_nothing),
      WITH_LOGGER(off_is_no_level_of_a_record),
      WITH_LOGGER(without_a_function_nothing_happens),
      WITH_LOGGER(long_texts_are_not_cut),
      WITH_LOGGER(a_percent_sign_in_an_argument_is_only_text),
  };
  return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
