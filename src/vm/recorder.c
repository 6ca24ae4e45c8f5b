/* recorder.c - a folder, a number, a count. */
#include "vm/recorder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/folder.h"

enum { DAY_S = 24 * 60 * 60 };

/* Makes a file in the folder and removes it: better now than a warning for each connection. */
static int recorder_try(const recorder *r) {
  char    name[RECORDER_NAME_BYTES];
  size_t  size = r->folder_len + sizeof name + 1;
  char   *path = malloc(size);
  os_file file;
  if (path == NULL) return PORTICO_ENOMEM;
  snprintf(name, sizeof name, ".try-%" PRId64, os_clock_unix_ns());
  snprintf(path, size, "%s/%s", r->folder, name);
  int err = os_file_open(path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_NEW | OS_FILE_PRIVATE, &file);
  if (err == 0) {
    os_file_close(file);
    os_file_remove(path);
  }
  free(path);
  return err;
}

int recorder_open(port *p, const char *folder, recorder **out_recorder) {
  size_t    len = strlen(folder);
  int       err = os_folder_make(folder);
  recorder *r = calloc(1, sizeof *r + len + 1);
  if (r == NULL) return PORTICO_ENOMEM; /* uncovered: no memory just here */
  r->folder_len = len;
  memcpy(r->folder, folder, len + 1);
  strand_init(&r->opening, p, NULL);
  /* What stands in the way of making it, "there is one" or "not allowed", says nothing about one that is there. */
  if (err < 0 && os_folder_is(folder) == 1) err = 0;
  if (err == 0) err = recorder_try(r);
  if (err < 0) recorder_close(r);
  else *out_recorder = r;
  return err;
}

void recorder_close(recorder *r) {
  strand_fini(&r->opening);
  free(r);
}

/* The date of a day counted from 1970-01-01: in cycles of 400 years from 1 March of the year 0, so that leap days come
 * last. (gmtime is not safe while scripts call os.date on other threads.) */
static void recorder_date(int64_t days, int *out_year, int *out_month, int *out_day) {
  days += 719468;
  int64_t cycle = days / 146097, day = days % 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  day -= 365 * year + year / 4 - year / 100;
  int64_t month = (5 * day + 2) / 153; /* 0 = March */
  *out_year = (int)(400 * cycle + year + (month >= 10));
  *out_month = (int)(month < 10 ? month + 3 : month - 9);
  *out_day = (int)(day - (153 * month + 2) / 5 + 1);
}

void recorder_name(recorder *r, int64_t unix_ns, char out[RECORDER_NAME_BYTES]) {
  int64_t  s = unix_ns / OS_NS_PER_S;
  int      year, month, day, of_day = (int)(s % DAY_S);
  unsigned number = atomic_fetch_add(&r->files, 1) + 1;
  recorder_date(s / DAY_S, &year, &month, &day);
  snprintf(out, RECORDER_NAME_BYTES, "%04d%02d%02dT%02d%02d%02d.%09dZ-%06u.portico", year, month, day, of_day / 3600,
           of_day / 60 % 60, of_day % 60, (int)(unix_ns % OS_NS_PER_S), number);
}
