/* process_posix.c - POSIX streams are binary, and may be closed or blocked; glibc's malloc can be told. */
#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

void os_stdio_binary(void) {
}

void os_stdio_open(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue; /* uncovered: it says nothing else */
    /* Takes the lowest number that is free, which is this one. */
    int opened = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    (void)opened; /* nothing there to be opened: then it stays as it was */
  }
}

void os_memory_join_blocks(void) {
#ifdef __GLIBC__
  mallopt(M_MXFAST, 0);
#endif
}

/* ---- stderr without waiting ---- */

static size_t stderr_write(int fd, const char *data, size_t len) {
  size_t  sent = 0;
  ssize_t n;
  do {
    n = write(fd, data + sent, len - sent);
    if (n > 0) sent += (size_t)n;
  } while ((n > 0 && sent < len) || (n < 0 && errno == EINTR)); /* uncovered: only what waits is interrupted */
  return sent;
}

/* A pipe or terminal that may not be opened again, or no descriptor left to do so. One that polls as writable takes a
 * page; should somebody else be faster, this does wait. */
static size_t stderr_write_polled(const char *data, size_t len) {
  enum { PAGE = 4096 };
  struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
  size_t        sent = 0;
  while (sent < len && poll(&p, 1, 0) == 1) {
    size_t n = stderr_write(STDERR_FILENO, data + sent, len - sent < PAGE ? len - sent : PAGE);
    if (n == 0) break; /* uncovered: race: somebody else has filled it, and it does not wait */
    sent += n;
  }
  return sent;
}

size_t os_stderr_offer(const void *data, size_t len) {
  struct stat s;
  if (fstat(STDERR_FILENO, &s) < 0) return 0;
  if (S_ISSOCK(s.st_mode)) {
    ssize_t n = send(STDERR_FILENO, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n > 0 ? (size_t)n : 0;
  }
  /* A file never waits, and a second description would have a place of its own in it. */
  if (!S_ISFIFO(s.st_mode) && !S_ISCHR(s.st_mode)) return stderr_write(STDERR_FILENO, data, len);
  int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return errno == ENXIO ? 0 : stderr_write_polled(data, len); /* ENXIO: nobody reads the pipe any more */
  size_t sent = stderr_write(fd, data, len);
  close(fd);
  return sent;
}
