/* fuzz.h - what the targets share: the entry, a rule that must hold, and choices made of the input's bytes. */
#ifndef PORTICO_TESTS_FUZZ_FUZZ_H
#define PORTICO_TESTS_FUZZ_FUZZ_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What each target defines: tries one input. Called by libFuzzer, or by replay.c. result: 0 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline _Noreturn void fuzz_fail(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: %s\n", file, line, what);
  abort();
}

/* Ends the program unless the condition holds. */
#define REQUIRE(condition) ((condition) ? (void)0 : fuzz_fail(#condition, __FILE__, __LINE__))

/* A copy with a NUL behind it, and nothing behind that: who reads on is caught. The caller frees it. */
static inline char *fuzz_text(const uint8_t *data, size_t len) {
  char *text = malloc(len + 1);
  REQUIRE(text != NULL);
  for (size_t i = 0; i < len; i++) text[i] = (char)data[i];
  text[len] = '\0';
  return text;
}

/* True if it is one line: no byte that ends one, or could drive a terminal. */
static inline bool fuzz_one_line(const char *text) {
  for (; *text != '\0'; text++) {
    if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
  }
  return true;
}

#endif
