/* folder_posix.c - folder.h by the calls of POSIX. */
#include "os/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "os/socket.h"

/* Not every file system tells in d_type. */
static bool folder_entry_is(DIR *d, const struct dirent *e) {
  struct stat s;
  if (e->d_type == DT_UNKNOWN) { /* uncovered: the file systems here tell */
    return fstatat(dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode);
  }
  return e->d_type == DT_DIR;
}

int os_folder_each(const char *path, os_folder_on_entry on_entry, void *arg) {
  DIR *d = opendir(path);
  if (d == NULL) return os_error(errno);
  const struct dirent *e;
  while (errno = 0, (e = readdir(d)) != NULL) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    on_entry(e->d_name, folder_entry_is(d, e), arg);
  }
  int err = errno == 0 ? 0 : os_error(errno); /* uncovered: a disk that breaks meanwhile */
  closedir(d);
  return err;
}

int os_folder_is(const char *path) {
  struct stat s;
  if (stat(path, &s) != 0) return os_error(errno);
  return S_ISDIR(s.st_mode) ? 1 : 0;
}

int os_folder_make(const char *path) {
  return mkdir(path, 0700) == 0 ? 0 : os_error(errno);
}
