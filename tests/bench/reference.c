/* reference.c - the echo server everybody would write first: one thread, one level-triggered epoll loop, no Lua, no
 * abstraction. It is what `portico run echo` is compared with, so it has to be as good as a plain loop gets: per
 * message it costs one recv, one send and its share of an epoll_wait that returns up to 256 events.
 *
 *   reference [tcp://127.0.0.1:PORT]      port 0 (the default) takes any free one
 *
 * It writes "listening on tcp://127.0.0.1:PORT" to stderr once it accepts, and runs until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, RECEIVE_BYTES = 64 * 1024 };

typedef struct connection {
  int   fd;
  char *pending; /* what the kernel would not take yet; NULL almost always, and then we read, else we write */
  size_t pending_at;
  size_t pending_bytes;
} connection;

static char receive_buffer[RECEIVE_BYTES]; /* one is enough: every recv is sent or copied before the next */
static int  epoll_fd;

static void die(const char *what) {
  fprintf(stderr, "reference: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void connection_close(connection *c) {
  close(c->fd); /* also takes it out of the epoll set */
  free(c->pending);
  free(c);
}

/* Reading stops while bytes are pending: a peer that does not read what it asked for is not served more. */
static void connection_wait_for(connection *c, uint32_t events) {
  struct epoll_event ev = {.events = events, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0) die("epoll_ctl");
}

static void connection_keep(connection *c, const char *data, size_t len_bytes) {
  c->pending = malloc(len_bytes);
  if (c->pending == NULL) die("malloc");
  memcpy(c->pending, data, len_bytes);
  c->pending_at = 0;
  c->pending_bytes = len_bytes;
  connection_wait_for(c, EPOLLOUT);
}

static void connection_read(connection *c) {
  ssize_t got = recv(c->fd, receive_buffer, sizeof receive_buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return; /* level-triggered: epoll will tell us again */
  if (got <= 0) {
    connection_close(c);
    return;
  }
  ssize_t sent = send(c->fd, receive_buffer, (size_t)got, MSG_NOSIGNAL);
  if (sent == got) return;
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    connection_close(c);
    return;
  }
  if (sent < 0) sent = 0;
  connection_keep(c, receive_buffer + sent, (size_t)(got - sent));
}

static void connection_write(connection *c) {
  size_t  left_bytes = c->pending_bytes - c->pending_at;
  ssize_t sent = send(c->fd, c->pending + c->pending_at, left_bytes, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) connection_close(c);
    return;
  }
  c->pending_at += (size_t)sent;
  if (c->pending_at < c->pending_bytes) return;
  free(c->pending);
  c->pending = NULL;
  connection_wait_for(
      c, EPOLLIN); /* an end of stream that came meanwhile is read then: all bytes go back first */
}

static void accept_all(int listen_fd) {
  for (;;) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) return;
    if (fd < 0) die("accept"); /* out of descriptors, most likely: the run is worthless, so say so and end */
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) die("TCP_NODELAY");
    connection *c = calloc(1, sizeof *c);
    if (c == NULL) die("calloc");
    c->fd = fd;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) die("epoll_ctl");
  }
}

static int listen_on(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) die("SO_REUSEADDR");
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

static uint16_t port_from(const char *url) {
  unsigned port;
  char     rest;
  if (sscanf(url, "tcp://127.0.0.1:%u%c", &port, &rest) == 1 && port <= UINT16_MAX) return (uint16_t)port;
  fprintf(stderr, "usage: reference [tcp://127.0.0.1:PORT]\n");
  exit(2);
}

int main(int argc, char **argv) {
  uint16_t port = port_from(argc > 1 ? argv[1] : "tcp://127.0.0.1:0");
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) die("epoll_create1");
  int listen_fd = listen_on(port);
  for (;;) {
    struct epoll_event events[EVENTS_MAX];
    int                count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      connection *c = events[i].data.ptr;
      if (c == NULL)
        accept_all(listen_fd);
      else if (c->pending != NULL)
        connection_write(c);
      else
        connection_read(c);
    }
  }
}
