#include "turns.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"

void *turns_memory(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("out of memory");
  return memory;
}

void turns_start(turns *t, void (*work)(void *arg, int fd), void *arg) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) fail("socketpair: %s", strerror(errno));
  t->pid = fork();
  if (t->pid < 0) fail("fork: %s", strerror(errno));
  if (t->pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    close(ends[0]);
    work(arg, ends[1]);
    _exit(0);
  }
  close(ends[1]);
  t->fd = ends[0];
}

/* The process has said why. */
static _Noreturn void turns_fail(turns *t) {
  waitpid(t->pid, NULL, 0);
  exit(1);
}

void turns_give(turns *t) {
  char byte = 0;
  if (send(t->fd, &byte, 1, MSG_NOSIGNAL) != 1) turns_fail(t);
  if (recv(t->fd, &byte, 1, 0) != 1) turns_fail(t);
}

void turns_join(turns *t) {
  int status = 0;
  close(t->fd);
  if (waitpid(t->pid, &status, 0) != t->pid || status != 0) exit(1);
}

void turns_wait(int fd) {
  char byte;
  if (recv(fd, &byte, 1, 0) != 1) _exit(1); /* the parent has ended */
}

void turns_end(int fd) {
  char byte = 0;
  if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1) _exit(1);
}
