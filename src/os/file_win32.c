/* file_win32.c - file.h by the calls of Windows. */
#include <stdlib.h>
#include <string.h>
#include <winsock2.h>
#include <windows.h>

#include "base/error.h"
#include "os/file.h"

enum { FILE_CALL_BYTES = 1 << 30 };

static HANDLE file_native(os_file f) {
  return (HANDLE)f;
}

/* The path in the system's own letters, to be freed; NULL with the error in *out_err. */
static wchar_t *file_path(const char *path, int *out_err) {
  int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
  *out_err = n == 0 ? PORTICO_EINVAL : PORTICO_ENOMEM;
  if (n == 0) return NULL;
  wchar_t *wide = malloc((size_t)n * sizeof *wide);
  if (wide != NULL) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, n);
  return wide;
}

static DWORD file_disposition(unsigned how) {
  bool truncate = (how & OS_FILE_TRUNCATE) != 0;
  if ((how & OS_FILE_CREATE) == 0) return truncate ? TRUNCATE_EXISTING : OPEN_EXISTING;
  if ((how & OS_FILE_NEW) != 0) return CREATE_NEW;
  return truncate ? CREATE_ALWAYS : OPEN_ALWAYS;
}

/* To Windows a folder is a file that one may not open. */
static int file_open_error(const wchar_t *wide) {
  DWORD raw = GetLastError();
  DWORD attributes = raw == ERROR_ACCESS_DENIED ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
  bool  folder = attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  return folder ? PORTICO_EISDIR : os_error((int)raw);
}

int os_file_open(const char *path, unsigned how, os_file *out) {
  if ((how & (OS_FILE_READ | OS_FILE_WRITE)) == 0) return PORTICO_EINVAL;
  if ((how & OS_FILE_TRUNCATE) != 0 && (how & OS_FILE_WRITE) == 0) return PORTICO_EINVAL;
  DWORD    access = 0;
  int      err;
  wchar_t *wide = file_path(path, &err);
  if (wide == NULL) return err;
  if ((how & OS_FILE_READ) != 0) access |= GENERIC_READ;
  if ((how & OS_FILE_WRITE) != 0) access |= GENERIC_WRITE;
  HANDLE f = CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                         file_disposition(how), FILE_ATTRIBUTE_NORMAL | FILE_FLAG_OVERLAPPED, NULL);
  err = f == INVALID_HANDLE_VALUE ? file_open_error(wide) : 0;
  free(wide);
  if (err == 0) *out = (os_file)f;
  return err;
}

void os_file_close(os_file f) {
  CloseHandle(file_native(f));
}

int os_file_remove(const char *path) {
  int      err;
  wchar_t *wide = file_path(path, &err);
  if (wide == NULL) return err;
  err = DeleteFileW(wide) ? 0 : file_open_error(wide);
  free(wide);
  return err;
}

int os_file_error(int raw) {
  return os_error(raw);
}

int64_t os_file_size(os_file f) {
  LARGE_INTEGER size;
  return GetFileSizeEx(file_native(f), &size) ? size.QuadPart : os_error((int)GetLastError());
}

/* An overlapped file is always asked this way. The low bit of the event keeps a packet from being queued, should the
 * file belong to a port. */
static int64_t file_call(os_file f, void *data, size_t len, uint64_t offset, bool write) {
  OVERLAPPED where = {.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
  DWORD      want = len < FILE_CALL_BYTES ? (DWORD)len : FILE_CALL_BYTES, got = 0;
  HANDLE     event = CreateEventW(NULL, TRUE, FALSE, NULL);
  if (event == NULL) return PORTICO_ENOMEM;
  where.hEvent = (HANDLE)((ULONG_PTR)event | 1);
  bool done = write ? WriteFile(file_native(f), data, want, &got, &where)
                    : ReadFile(file_native(f), data, want, &got, &where);
  if (!done && GetLastError() == ERROR_IO_PENDING) done = GetOverlappedResult(file_native(f), &where, &got, TRUE);
  DWORD raw = done ? 0 : GetLastError();
  CloseHandle(event);
  if (raw == ERROR_HANDLE_EOF) return 0;
  return raw == 0 ? (int64_t)got : os_file_error((int)raw);
}

int64_t os_file_read_at(os_file f, void *data, size_t len, uint64_t offset) {
  return file_call(f, data, len, offset, false);
}

int64_t os_file_write_at(os_file f, const void *data, size_t len, uint64_t offset) {
  return file_call(f, (void *)data, len, offset, true);
}

/* A file that was not opened for writing may not be flushed, and has nothing to flush. */
int os_file_sync(os_file f) {
  if (FlushFileBuffers(file_native(f))) return 0;
  DWORD raw = GetLastError();
  return raw == ERROR_ACCESS_DENIED || raw == ERROR_INVALID_FUNCTION ? 0 : os_file_error((int)raw);
}
