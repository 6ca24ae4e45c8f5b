/* broadcast.c - what one connection sends goes to all: the bare loop that broadcast.lua is compared with, made as
 * reference.c is. Per message it costs one recv, and a send for each connection.
 *
 *   broadcast [tcp://127.0.0.1:PORT]      port 0 (the default) takes any free one
 *
 * It writes "listening on tcp://127.0.0.1:PORT" to stderr once it accepts, and runs until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, RECEIVE_BYTES = 64 * 1024, CONNECTIONS_MAX = 20000 };

typedef struct connection {
  int    fd;
  size_t place; /* in everyone */
} connection;

static char        receive_buffer[RECEIVE_BYTES];
static int         epoll_fd;
static connection *everyone[CONNECTIONS_MAX];
static size_t      everyone_count;

static void die(const char *what) {
  fprintf(stderr, "broadcast: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void connection_open(int fd) {
  connection *c = calloc(1, sizeof *c);
  if (c == NULL || everyone_count == CONNECTIONS_MAX) die("no room for a connection");
  c->fd = fd;
  c->place = everyone_count;
  everyone[everyone_count++] = c;
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) die("epoll_ctl");
}

static void connection_close(connection *c) {
  connection *last = everyone[--everyone_count];
  everyone[c->place] = last;
  last->place = c->place;
  close(c->fd); /* also takes it out of the epoll set */
  free(c);
}

/* The load has one message on its way at a time, so a kernel that does not take all of it is a run gone wrong. A
 * connection that has gone meanwhile is closed when its own event comes. */
static void send_to_all(const char *data, size_t len_bytes) {
  for (size_t i = 0; i < everyone_count; i++) {
    ssize_t sent = send(everyone[i]->fd, data, len_bytes, MSG_NOSIGNAL);
    if (sent >= 0 ? (size_t)sent != len_bytes : errno != EPIPE && errno != ECONNRESET) die("send");
  }
}

static void connection_read(connection *c) {
  ssize_t got = recv(c->fd, receive_buffer, sizeof receive_buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0)
    connection_close(c);
  else
    send_to_all(receive_buffer, (size_t)got);
}

static void accept_all(int listen_fd) {
  for (;;) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) return;
    if (fd < 0) die("accept");
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) die("TCP_NODELAY");
    connection_open(fd);
  }
}

static int listen_on(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  struct sockaddr_in at = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  if (listen(fd, SOMAXCONN) < 0) die("listen");
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL marks the listener */
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) die("epoll_ctl");
  socklen_t len = sizeof at;
  if (getsockname(fd, (struct sockaddr *)&at, &len) < 0) die("getsockname");
  fprintf(stderr, "listening on tcp://127.0.0.1:%u\n", (unsigned)ntohs(at.sin_port));
  return fd;
}

int main(int argc, char **argv) {
  unsigned port = 0;
  if (argc > 1 && (sscanf(argv[1], "tcp://127.0.0.1:%u", &port) != 1 || port > UINT16_MAX)) {
    fprintf(stderr, "usage: broadcast [tcp://127.0.0.1:PORT]\n");
    return 2;
  }
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) die("epoll_create1");
  int listen_fd = listen_on((uint16_t)port);
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int                count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      if (events[i].data.ptr == NULL)
        accept_all(listen_fd);
      else
        connection_read(events[i].data.ptr);
    }
  }
}
