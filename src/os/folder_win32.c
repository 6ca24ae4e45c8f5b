/* folder_win32.c - folder.h by the calls of Windows. */
#include "os/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <winsock2.h>
#include <windows.h>

#include "base/error.h"
#include "os/socket.h"

enum { FOLDER_NAME_BYTES = MAX_PATH * 4 };

/* The path followed by `more`, in the system's own letters, to be freed; NULL with the error in *out_err. */
static wchar_t *folder_path(const char *path, const wchar_t *more, int *out_err) {
  int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
  *out_err = n == 0 ? PORTICO_EINVAL : PORTICO_ENOMEM;
  if (n == 0) return NULL;
  wchar_t *wide = malloc(((size_t)n + wcslen(more)) * sizeof *wide);
  if (wide == NULL) return NULL;
  MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, n);
  wcscat(wide, more);
  return wide;
}

/* A junction or a link to a folder has both attributes. */
static void folder_tell(const WIN32_FIND_DATAW *e, os_folder_on_entry on_entry, void *arg) {
  char name[FOLDER_NAME_BYTES];
  if (WideCharToMultiByte(CP_UTF8, 0, e->cFileName, -1, name, sizeof name, NULL, NULL) == 0) return;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return;
  DWORD kind = e->dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT);
  on_entry(name, kind == FILE_ATTRIBUTE_DIRECTORY, arg);
}

int os_folder_each(const char *path, os_folder_on_entry on_entry, void *arg) {
  int      err;
  wchar_t *wide = folder_path(path, L"\\*", &err);
  if (wide == NULL) return err;
  WIN32_FIND_DATAW e;
  HANDLE           found = FindFirstFileW(wide, &e);
  free(wide);
  if (found == INVALID_HANDLE_VALUE) return os_error((int)GetLastError());
  do folder_tell(&e, on_entry, arg);
  while (FindNextFileW(found, &e));
  DWORD raw = GetLastError();
  FindClose(found);
  return raw == ERROR_NO_MORE_FILES ? 0 : os_error((int)raw);
}

int os_folder_is(const char *path) {
  int      err;
  wchar_t *wide = folder_path(path, L"", &err);
  if (wide == NULL) return err;
  DWORD attributes = GetFileAttributesW(wide);
  DWORD raw = GetLastError();
  free(wide);
  if (attributes == INVALID_FILE_ATTRIBUTES) return os_error((int)raw);
  return (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0 ? 1 : 0;
}

int os_folder_make(const char *path) {
  int      err;
  wchar_t *wide = folder_path(path, L"", &err);
  if (wide == NULL) return err;
  err = CreateDirectoryW(wide, NULL) ? 0 : os_error((int)GetLastError());
  free(wide);
  return err;
}
