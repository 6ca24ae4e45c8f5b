/* file.h - files, as thin as can be: open, and read and write at an offset.   Layer: os.
 * Files here have no position of their own. Results are >= 0 or PORTICO_E... */
#ifndef PORTICO_OS_FILE_H
#define PORTICO_OS_FILE_H
#include "os/socket.h"

/* The same type as a socket, so that a port can keep either. Not inherited by children and, on Windows, overlapped. */
typedef os_socket os_file;
#define OS_FILE_NONE OS_SOCKET_NONE

enum {
  OS_FILE_READ = 1,
  OS_FILE_WRITE = 2,
  OS_FILE_CREATE = 4,    /* make it if there is none */
  OS_FILE_NEW = 8,       /* with OS_FILE_CREATE: there must be none */
  OS_FILE_TRUNCATE = 16, /* with OS_FILE_WRITE: forget what is in it */
  OS_FILE_PRIVATE = 32,  /* with OS_FILE_CREATE: other users may not open it (Windows: what the folder's rules say) */
};

/* Opens a file; the path is UTF-8. As on POSIX others may open, rename and remove it meanwhile. Blocks.
 * shape    how: OS_FILE_READ, OS_FILE_WRITE or both, with the others as wanted
 * errors   EINVAL, ENOFILE, EEXIST, EISDIR, EACCES, EROFS, EBUSY, EMFILE, ENOSPC, ENOMEM */
int  os_file_open(const char *path, unsigned how, os_file *out);
void os_file_close(os_file f);

/* Removes a file by its path; who has it open keeps it. Blocks. errors: ENOFILE, EISDIR, EACCES, EBUSY */
int os_file_remove(const char *path);

/* Its length in bytes. errors: EIO */
int64_t os_file_size(os_file f);

/* Reads, or writes, at an offset. Blocks.
 * result   bytes, maybe fewer than asked for (read: 0 = at or behind the end); EACCES (it was not opened for that),
 *          EISDIR, ENOSPC, ELIMIT (too big a file), EIO */
int64_t os_file_read_at(os_file f, void *data, size_t len, uint64_t offset);
int64_t os_file_write_at(os_file f, const void *data, size_t len, uint64_t offset);

/* Returns when what was written is on the disk. Blocks. errors: EIO, ENOSPC */
int os_file_sync(os_file f);

/* As os_error, for what the system says of a read, write or sync: not opened for that is EACCES, not EINVAL. */
int os_file_error(int raw);

#endif
