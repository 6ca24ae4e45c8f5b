#include "cli/misuse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WORD_MAX = 31, NEAR_MAX = 2 };

int misuse(const char *format, ...) {
  char    line[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  for (char *c = line; *c != '\0'; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?'; /* of a word that would end the line, or drive a terminal */
  fprintf(stderr, "portico: %s\n", line);
  return CLI_MISUSED;
}

static size_t smallest(size_t a, size_t b, size_t c) {
  if (b < a) a = b;
  return c < a ? c : a;
}

/* How many letters have to be added, dropped or changed to get from one word to the other (Levenshtein). */
static size_t distance(const char *from, const char *to) {
  size_t row[WORD_MAX + 1];
  size_t to_len = strlen(to);
  if (strlen(from) > WORD_MAX || to_len > WORD_MAX) return WORD_MAX; /* uncovered: no name is that long */
  for (size_t i = 0; i <= to_len; i++) row[i] = i;
  for (size_t done = 1; *from != '\0'; from++, done++) {
    size_t diagonal = row[0];
    row[0] = done;
    for (size_t i = 1; i <= to_len; i++) {
      size_t above = row[i];
      row[i] = smallest(row[i] + 1, row[i - 1] + 1, diagonal + (*from != to[i - 1]));
      diagonal = above;
    }
  }
  return row[to_len];
}

const char *misuse_guess(const char *word, const char *(*names)(size_t index)) {
  const char *best = NULL;
  size_t      best_distance = NEAR_MAX + 1;
  const char *name;
  for (size_t i = 0; (name = names(i)) != NULL; i++) {
    size_t d = distance(word, name);
    if (strlen(word) >= 3 && strncmp(word, name, strlen(word)) == 0) d = 1; /* the beginning of a name */
    if (d < best_distance) {
      best = name;
      best_distance = d;
    }
  }
  return best;
}
