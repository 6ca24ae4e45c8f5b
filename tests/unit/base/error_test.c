/* error_test.c - every code has words and a name of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

typedef struct listed {
  int         code;
  const char *name, *text;
} listed;

static const listed all[] = {
#define LISTED(name, value, text) {PORTICO_##name, #name, text},
    PORTICO_ERRORS(LISTED)
#undef LISTED
};
enum { ALL = sizeof all / sizeof all[0] };

static void every_code_has_its_name_and_words(void **state) {
  (void)state;
  for (int i = 0; i < ALL; i++) {
    assert_string_equal(portico_error_name(all[i].code), all[i].name);
    assert_string_equal(portico_error_text(all[i].code), all[i].text);
  }
}

static void codes_count_down_from_minus_one(void **state) {
  (void)state;
  for (int i = 0; i < ALL; i++) assert_int_equal(all[i].code, -1 - i);
}

static void no_two_codes_share_name_or_words(void **state) {
  (void)state;
  for (int i = 0; i < ALL; i++) {
    for (int k = 0; k < i; k++) {
      assert_string_not_equal(all[i].name, all[k].name);
      assert_string_not_equal(all[i].text, all[k].text);
    }
  }
}

static void words_are_a_phrase_without_a_full_stop(void **state) {
  (void)state;
  for (int i = 0; i < ALL; i++) {
    size_t len = strlen(all[i].text);
    assert_true(len > 0);
    assert_int_not_equal(all[i].text[len - 1], '.');
  }
}

static void whatever_is_not_negative_is_success(void **state) {
  (void)state;
  static const int codes[] = {0, 1, INT32_MAX};
  for (int i = 0; i < 3; i++) {
    assert_string_equal(portico_error_name(codes[i]), "OK");
    assert_string_equal(portico_error_text(codes[i]), "success");
  }
}

static void a_code_that_nobody_listed_is_unknown(void **state) {
  (void)state;
  static const int codes[] = {-1 - ALL, -4711, INT32_MIN};
  for (int i = 0; i < 3; i++) {
    assert_string_equal(portico_error_name(codes[i]), "EUNKNOWN");
    assert_string_equal(portico_error_text(codes[i]), "unknown error");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_code_has_its_name_and_words),
      cmocka_unit_test(codes_count_down_from_minus_one),
      cmocka_unit_test(no_two_codes_share_name_or_words),
      cmocka_unit_test(words_are_a_phrase_without_a_full_stop),
      cmocka_unit_test(whatever_is_not_negative_is_success),
      cmocka_unit_test(a_code_that_nobody_listed_is_unknown),
  };
  return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
