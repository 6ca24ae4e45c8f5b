#include "capture.h"

#include "fuzz.h"

#ifdef __GLIBC__ /* which says that stdout and stderr may be set */
static FILE *capture_files[2], *capture_real[2]; /* of stdout, of stderr; the files are kept */

void capture_begin(void) {
  capture_real[0] = stdout;
  capture_real[1] = stderr;
  for (unsigned i = 0; i < 2; i++) {
    if (capture_files[i] == NULL) capture_files[i] = tmpfile(); /* not in memory: setvbuf breaks such a stream */
    REQUIRE(capture_files[i] != NULL);
    rewind(capture_files[i]);
  }
  stdout = capture_files[0];
  stderr = capture_files[1];
}

static char *capture_read(FILE *f) {
  long len = ftell(f);
  REQUIRE(len >= 0 && fseek(f, 0, SEEK_SET) == 0);
  char *text = malloc((size_t)len + 1);
  REQUIRE(text != NULL && fread(text, 1, (size_t)len, f) == (size_t)len);
  text[len] = '\0';
  return text;
}

bool capture_end(captured *out_captured) {
  stdout = capture_real[0];
  stderr = capture_real[1];
  *out_captured = (captured){.out = capture_read(capture_files[0]), .err = capture_read(capture_files[1])};
  return true;
}
#else
void capture_begin(void) {
}

bool capture_end(captured *out_captured) {
  *out_captured = (captured){0};
  return false;
}
#endif
