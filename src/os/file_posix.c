/* file_posix.c - file.h by the calls of POSIX. */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum {
  FILE_MODE = 0666,          /* less what the umask takes away */
  FILE_MODE_PRIVATE = 0600,
  FILE_CALL_BYTES = 1 << 30, /* more in one call no system promises */
};

/* False for a folder, which can be opened but not read. */
static int file_check(int f) {
  struct stat s;
  if (fstat(f, &s) != 0) return os_error(errno); /* uncovered: it was just opened */
  return S_ISDIR(s.st_mode) ? PORTICO_EISDIR : 0;
}

int os_file_open(const char *path, unsigned how, os_file *out) {
  int flags = O_CLOEXEC | O_NOCTTY;
  switch (how & (OS_FILE_READ | OS_FILE_WRITE)) {
  case OS_FILE_READ: flags |= O_RDONLY; break;
  case OS_FILE_WRITE: flags |= O_WRONLY; break;
  case OS_FILE_READ | OS_FILE_WRITE: flags |= O_RDWR; break;
  default: return PORTICO_EINVAL;
  }
  if ((how & OS_FILE_TRUNCATE) != 0 && (how & OS_FILE_WRITE) == 0) return PORTICO_EINVAL;
  if ((how & OS_FILE_CREATE) != 0) flags |= O_CREAT;
  if ((how & OS_FILE_CREATE) != 0 && (how & OS_FILE_NEW) != 0) flags |= O_EXCL;
  if ((how & OS_FILE_TRUNCATE) != 0) flags |= O_TRUNC;
  int f;
  do f = open(path, flags, (how & OS_FILE_PRIVATE) != 0 ? FILE_MODE_PRIVATE : FILE_MODE);
  while (f < 0 && errno == EINTR);
  if (f < 0) return os_error(errno);
  int err = file_check(f);
  if (err < 0) {
    close(f);
    return err;
  }
  *out = f;
  return 0;
}

void os_file_close(os_file f) {
  close(f); /* whatever it says: on Linux the descriptor is gone even after EINTR */
}

int os_file_remove(const char *path) {
  return unlink(path) == 0 ? 0 : os_error(errno);
}

int os_file_error(int raw) {
  return raw == EBADF ? PORTICO_EACCES : os_error(raw);
}

int64_t os_file_size(os_file f) {
  struct stat s;
  return fstat(f, &s) == 0 ? (int64_t)s.st_size : os_error(errno);
}

int64_t os_file_read_at(os_file f, void *data, size_t len, uint64_t offset) {
  ssize_t n;
  do n = pread(f, data, len < FILE_CALL_BYTES ? len : FILE_CALL_BYTES, (off_t)offset);
  while (n < 0 && errno == EINTR);
  return n < 0 ? os_file_error(errno) : n;
}

int64_t os_file_write_at(os_file f, const void *data, size_t len, uint64_t offset) {
  ssize_t n;
  do n = pwrite(f, data, len < FILE_CALL_BYTES ? len : FILE_CALL_BYTES, (off_t)offset);
  while (n < 0 && errno == EINTR);
  return n < 0 ? os_file_error(errno) : n;
}

/* What has no disk behind it has nothing to wait for: fsync says EINVAL of it. */
int os_file_sync(os_file f) {
  int r;
  do r = fsync(f);
  while (r != 0 && errno == EINTR); /* uncovered: only disks of a network may be interrupted */
  return r == 0 || errno == EINVAL ? 0 : os_file_error(errno);
}
