/* recorder_test.c - the folder of recordings is made or refused, and their names sort by time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "folder.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/folder.h"
#include "vm/recorder.h"

typedef struct fixture {
  folder    in;
  port     *port;
  recorder *recorder;
} fixture;

static int make_port(void **state) {
  fixture     *f = calloc(1, sizeof *f);
  port_options options = {.concurrency = 1};
  *state = f;
  if (f == NULL || folder_make(&f->in) != 0) return -1;
  return port_open(&options, &f->port);
}

static int drop_port(void **state) {
  fixture *f = *state;
  if (f->recorder != NULL) recorder_close(f->recorder);
  port_close(f->port, NULL, NULL);
  port_unref(f->port);
  int err = folder_remove(&f->in); /* fails if something is left in it */
  free(f);
  return err;
}

static void count_entry(const char *name, bool is_folder, void *arg) {
  (void)name, (void)is_folder;
  ++*(int *)arg;
}

static int entries_of(const char *path) {
  int count = 0;
  assert_int_equal(os_folder_each(path, count_entry, &count), 0);
  return count;
}

static void a_folder_that_is_there_is_used_and_left_empty(void **state) {
  fixture *f = *state;
  assert_int_equal(recorder_open(f->port, f->in.path, &f->recorder), 0);
  assert_int_equal(entries_of(f->in.path), 0);
}

static void a_missing_folder_is_made(void **state) {
  fixture *f = *state;
  folder   made = {0};
  folder_file(&f->in, "made", made.path);
  assert_int_equal(recorder_open(f->port, made.path, &f->recorder), 0);
  assert_int_equal(os_folder_is(made.path), 1);
  assert_int_equal(entries_of(made.path), 0);
  assert_int_equal(folder_remove(&made), 0);
}

static void of_two_missing_folders_none_is_made(void **state) {
  fixture *f = *state;
  char     path[FOLDER_PATH_BYTES];
  folder_file(&f->in, "none/deeper", path);
  assert_int_equal(recorder_open(f->port, path, &f->recorder), PORTICO_ENOFILE);
  assert_null(f->recorder);
}

static void a_file_is_no_folder(void **state) {
  fixture *f = *state;
  char     path[FOLDER_PATH_BYTES];
  os_file  file;
  folder_file(&f->in, "file", path);
  assert_int_equal(os_file_open(path, OS_FILE_WRITE | OS_FILE_CREATE, &file), 0);
  os_file_close(file);
  assert_int_equal(recorder_open(f->port, path, &f->recorder), PORTICO_EEXIST);
  assert_null(f->recorder);
  assert_int_equal(os_file_remove(path), 0);
}

static void a_name_tells_the_time(void **state) {
  static const struct {
    int64_t     s;
    const char *name;
  } days[] = {
      {0, "19700101T000000.000000000Z"},          {951782399, "20000228T235959.000000000Z"},
      {951782400, "20000229T000000.000000000Z"},  {1709164800, "20240229T000000.000000000Z"},
      {1735689599, "20241231T235959.000000000Z"}, {4107542400, "21000301T000000.000000000Z"},
  };
  fixture *f = *state;
  char     name[RECORDER_NAME_BYTES];
  assert_int_equal(recorder_open(f->port, f->in.path, &f->recorder), 0);
  for (size_t i = 0; i < sizeof days / sizeof days[0]; i++) {
    recorder_name(f->recorder, days[i].s * OS_NS_PER_S, name);
    assert_memory_equal(name, days[i].name, strlen(days[i].name));
  }
}

static void names_of_the_same_moment_differ_and_sort(void **state) {
  fixture *f = *state;
  char     first[RECORDER_NAME_BYTES], second[RECORDER_NAME_BYTES];
  assert_int_equal(recorder_open(f->port, f->in.path, &f->recorder), 0);
  recorder_name(f->recorder, 1795560962592660428, first);
  recorder_name(f->recorder, 1795560962592660428, second);
  assert_string_equal(first, "20261124T225602.592660428Z-000001.portico");
  assert_string_equal(second, "20261124T225602.592660428Z-000002.portico");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_port, drop_port)

int main(void) {
  const struct CMUnitTest tests[] = {
      CASE(a_folder_that_is_there_is_used_and_left_empty),
      CASE(a_missing_folder_is_made),
      CASE(of_two_missing_folders_none_is_made),
      CASE(a_file_is_no_folder),
      CASE(a_name_tells_the_time),
      CASE(names_of_the_same_moment_differ_and_sort),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
