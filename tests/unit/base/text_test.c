/* text_test.c - text of others in a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

static void plain_text_is_shown_as_it_is(void **state) {
  (void)state;
  char out[16];
  text_show("", out, sizeof out);
  assert_string_equal(out, "");
  text_show("a b\xc3\xbc\\\"", out, sizeof out);
  assert_string_equal(out, "a b\xc3\xbc\\\"");
}

static void control_bytes_are_shown_as_question_marks(void **state) {
  (void)state;
  char out[16];
  text_show("a\nb\r\t\x1b[1m\x7f", out, sizeof out);
  assert_string_equal(out, "a?b???[1m?");
}

static void long_text_is_cut_and_says_so(void **state) {
  (void)state;
  char out[8];
  text_show("1234567", out, sizeof out);
  assert_string_equal(out, "1234567");
  text_show("12345678", out, sizeof out);
  assert_string_equal(out, "1234...");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_text_is_shown_as_it_is),
      cmocka_unit_test(control_bytes_are_shown_as_question_marks),
      cmocka_unit_test(long_text_is_cut_and_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
