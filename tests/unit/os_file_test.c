/* os_file_test.c - files: opening, reading and writing at an offset, what the errors are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "folder.h"
#include "os/file.h"

enum { NEW_RW = OS_FILE_READ | OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_NEW };

typedef struct fixture {
  folder in;
  char   path[FOLDER_PATH_BYTES];
} fixture;

static int make_folder(void **state) {
  fixture *f = calloc(1, sizeof *f);
  *state = f;
  if (f == NULL || folder_make(&f->in) != 0) return -1;
  folder_file(&f->in, "file", f->path);
  return 0;
}

static int drop_folder(void **state) {
  fixture *f = *state;
  os_file_remove(f->path);
  int err = folder_remove(&f->in);
  free(f);
  return err;
}

static os_file file_open(const char *path, unsigned how) {
  os_file file = OS_FILE_NONE;
  assert_int_equal(os_file_open(path, how, &file), 0);
  assert_true(file != OS_FILE_NONE);
  return file;
}

static int64_t open_error(const char *path, unsigned how) {
  os_file file = OS_FILE_NONE;
  int     err = os_file_open(path, how, &file);
  assert_true(file == OS_FILE_NONE);
  return err;
}

static void what_was_written_at_an_offset_reads_back(void **state) {
  fixture *f = *state;
  os_file  file = file_open(f->path, NEW_RW);
  char     got[16] = "";
  assert_int_equal(os_file_size(file), 0);
  assert_int_equal(os_file_write_at(file, "world", 5, 6), 5); /* before it: a hole */
  assert_int_equal(os_file_write_at(file, "hello ", 6, 0), 6);
  assert_int_equal(os_file_size(file), 11);
  assert_int_equal(os_file_sync(file), 0);
  assert_int_equal(os_file_read_at(file, got, 11, 0), 11);
  assert_memory_equal(got, "hello world", 11);
  os_file_close(file);
}

static void a_read_ends_with_the_file(void **state) {
  fixture *f = *state;
  os_file  file = file_open(f->path, NEW_RW);
  char     got[16];
  assert_int_equal(os_file_write_at(file, "0123456789", 10, 0), 10);
  assert_int_equal(os_file_read_at(file, got, 16, 5), 5);
  assert_memory_equal(got, "56789", 5);
  assert_int_equal(os_file_read_at(file, got, 16, 10), 0);
  assert_int_equal(os_file_read_at(file, got, 16, UINT64_C(1) << 33), 0);
  os_file_close(file);
}

static void offsets_beyond_four_gigabytes_are_kept(void **state) {
  fixture *f = *state;
  os_file  file = file_open(f->path, NEW_RW);
  uint64_t far = (UINT64_C(1) << 32) + 7; /* a hole of that size takes no space */
  char     got[4] = "";
  if (os_file_write_at(file, "far", 3, far) != 3) {
    os_file_close(file);
    print_message("skipped: the file system keeps no file of 4 GiB\n");
    skip();
  }
  assert_int_equal(os_file_size(file), far + 3);
  assert_int_equal(os_file_read_at(file, got, 3, far), 3);
  assert_memory_equal(got, "far", 3);
  assert_int_equal(os_file_read_at(file, got, 3, 7), 3);
  assert_memory_equal(got, "\0\0\0", 3);
  os_file_close(file);
}

static void opening_makes_empties_or_refuses_as_asked(void **state) {
  fixture *f = *state;
  assert_int_equal(open_error(f->path, OS_FILE_READ), PORTICO_ENOFILE);
  assert_int_equal(open_error(f->path, OS_FILE_WRITE | OS_FILE_TRUNCATE), PORTICO_ENOFILE);
  os_file file = file_open(f->path, OS_FILE_WRITE | OS_FILE_CREATE);
  assert_int_equal(os_file_write_at(file, "abc", 3, 0), 3);
  os_file_close(file);
  assert_int_equal(open_error(f->path, NEW_RW), PORTICO_EEXIST);
  file = file_open(f->path, OS_FILE_WRITE | OS_FILE_CREATE);
  assert_int_equal(os_file_size(file), 3);
  os_file_close(file);
  file = file_open(f->path, OS_FILE_WRITE | OS_FILE_CREATE | OS_FILE_TRUNCATE);
  assert_int_equal(os_file_size(file), 0);
  os_file_close(file);
}

static void a_path_is_utf8(void **state) {
  fixture *f = *state;
  char     path[FOLDER_PATH_BYTES];
  folder_file(&f->in, "\xc3\xa4\xe2\x82\xac", path); /* a with dots, euro */
  os_file file = file_open(path, NEW_RW);
  assert_int_equal(os_file_write_at(file, "x", 1, 0), 1);
  os_file_close(file);
  file = file_open(path, OS_FILE_READ);
  assert_int_equal(os_file_size(file), 1);
  os_file_close(file);
  assert_int_equal(os_file_remove(path), 0);
  assert_int_equal(os_file_remove(path), PORTICO_ENOFILE);
}

static void a_folder_is_no_file(void **state) {
  fixture *f = *state;
  assert_int_equal(open_error(f->in.path, OS_FILE_READ), PORTICO_EISDIR);
  assert_int_equal(open_error(f->in.path, OS_FILE_READ | OS_FILE_WRITE), PORTICO_EISDIR);
}

static void opening_for_nothing_is_a_mistake(void **state) {
  fixture *f = *state;
  assert_int_equal(open_error(f->path, 0), PORTICO_EINVAL);
  assert_int_equal(open_error(f->path, OS_FILE_CREATE), PORTICO_EINVAL);
  assert_int_equal(open_error(f->path, OS_FILE_READ | OS_FILE_CREATE | OS_FILE_TRUNCATE), PORTICO_EINVAL);
}

static void what_it_was_not_opened_for_is_refused(void **state) {
  fixture *f = *state;
  char     byte = 'x';
  os_file  w = file_open(f->path, OS_FILE_WRITE | OS_FILE_CREATE), r = file_open(f->path, OS_FILE_READ);
  assert_int_equal(os_file_read_at(w, &byte, 1, 0), PORTICO_EACCES);
  assert_int_equal(os_file_write_at(r, &byte, 1, 0), PORTICO_EACCES);
  assert_int_equal(os_file_sync(r), 0); /* nothing to wait for */
  os_file_close(r);
  os_file_close(w);
}

static void an_open_file_can_be_removed(void **state) {
  fixture *f = *state;
  os_file  file = file_open(f->path, NEW_RW);
  char     byte = 0;
  assert_int_equal(os_file_write_at(file, "x", 1, 0), 1);
  assert_int_equal(os_file_remove(f->path), 0);
  assert_int_equal(os_file_read_at(file, &byte, 1, 0), 1);
  assert_int_equal(byte, 'x');
  os_file_close(file);
}

static void a_full_disk_says_so(void **state) {
  os_file file;
  (void)state;
  if (os_file_open("/dev/full", OS_FILE_WRITE, &file) < 0) {
    print_message("skipped: there is no /dev/full here\n");
    skip();
  }
  assert_int_equal(os_file_write_at(file, "x", 1, 0), PORTICO_ENOSPC);
  os_file_close(file);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
  const struct CMUnitTest tests[] = {
      CASE(what_was_written_at_an_offset_reads_back),
      CASE(a_read_ends_with_the_file),
      CASE(offsets_beyond_four_gigabytes_are_kept),
      CASE(opening_makes_empties_or_refuses_as_asked),
      CASE(a_path_is_utf8),
      CASE(a_folder_is_no_file),
      CASE(opening_for_nothing_is_a_mistake),
      CASE(what_it_was_not_opened_for_is_refused),
      CASE(an_open_file_can_be_removed),
      CASE(a_full_disk_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
