#include "sleeper.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "client.h"
#include "fail.h"

enum { TRIES_MAX = 64 }; /* a server with 4 VMs needs about 2 */

static void send_line(int fd, const char *text) {
  char line[80];
  int  len = snprintf(line, sizeof line, "%s\n", text);
  if (len >= (int)sizeof line) fail("'%s' is too long", text);
  if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len) fail("send: %s", strerror(errno));
}

static int ask_vm(int fd) {
  char   reply[80];
  size_t got = 0;
  send_line(fd, "VM?");
  while (got == 0 || reply[got - 1] != '\n') {
    ssize_t n = recv(fd, reply + got, sizeof reply - 1 - got, 0);
    if (n <= 0) fail("no answer to 'VM?'");
    got += (size_t)n;
  }
  reply[got] = '\0';
  int vm;
  if (sscanf(reply, "%d\n", &vm) != 1) fail("the answer to 'VM?' was not a number but %s", reply);
  return vm;
}

void sleeper_open(sleeper *s, const struct sockaddr_in *server, const char *text) {
  *s = (sleeper){.fd = client_connect(server), .text = text};
  s->vm = ask_vm(s->fd);
}

int sleeper_connect_elsewhere(const sleeper *s, const struct sockaddr_in *server) {
  for (int i = 0; i < TRIES_MAX; i++) {
    int fd = client_connect(server);
    if (ask_vm(fd) != s->vm) return fd;
  }
  fail("%d connections in a row are on VM %d, that of the sleeper: are there others?", TRIES_MAX, s->vm);
}

void sleeper_start(sleeper *s, int epoll_fd) {
  if (s->text == NULL) return;
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &ev) < 0) fail("epoll_ctl: %s", strerror(errno));
  send_line(s->fd, s->text);
  s->asleep = true;
}

void sleeper_receive(sleeper *s, bool again) {
  size_t  room = sizeof s->reply - 1 - (size_t)s->reply_bytes;
  ssize_t got = recv(s->fd, s->reply + s->reply_bytes, room, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) fail("the sleeper's connection was closed");
  s->reply_bytes += (int)got;
  s->reply[s->reply_bytes] = '\0';
  if (s->reply[s->reply_bytes - 1] != '\n') return;
  if (strcmp(s->reply, "SLEPT\n") != 0) fail("'%s' was answered by %s", s->text, s->reply);
  s->reply_bytes = 0;
  s->asleep = false;
  s->naps++;
  if (!again) return;
  send_line(s->fd, s->text);
  s->asleep = true;
}
