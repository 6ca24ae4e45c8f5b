/* folder.c - folders for tests, of names that nobody else has. */
#include "folder.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef _WIN32
#include <direct.h>
#else
#include <unistd.h>
#endif

int folder_make(folder *d) {
#ifdef _WIN32
  static unsigned count;
  const char     *in = getenv("TEMP");
  for (unsigned tries = 0; tries < 1000; tries++) {
    snprintf(d->path, sizeof d->path, "%s\\portico-test-%u-%p", in != NULL ? in : ".", ++count, (void *)d);
    if (_mkdir(d->path) == 0) return 0;
  }
  return -1;
#else
  const char *in = getenv("TMPDIR");
  snprintf(d->path, sizeof d->path, "%s/portico-test-XXXXXX", in != NULL ? in : "/tmp");
  return mkdtemp(d->path) != NULL ? 0 : -1;
#endif
}

void folder_file(const folder *d, const char *name, char *out_path) {
  snprintf(out_path, FOLDER_PATH_BYTES, "%.400s/%.100s", d->path, name);
}

int folder_remove(const folder *d) {
#ifdef _WIN32
  return _rmdir(d->path) == 0 ? 0 : -1;
#else
  return rmdir(d->path);
#endif
}
