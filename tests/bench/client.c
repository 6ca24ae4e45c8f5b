#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

enum { BLOCKED_MAX_S = 10, RECEIVE_BYTES = 64 * 1024 };

static char receive_buffer[RECEIVE_BYTES];

int64_t client_clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void client_sleep(double seconds) {
  struct timespec wait = {.tv_sec = (time_t)seconds};
  wait.tv_nsec = (long)((seconds - (double)wait.tv_sec) * 1e9);
  nanosleep(&wait, NULL);
}

int client_connect(const struct sockaddr_in *server) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket: %s", strerror(errno));
  int            on = 1;
  struct timeval limit = {.tv_sec = BLOCKED_MAX_S};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd, (const struct sockaddr *)server, sizeof *server) < 0) fail("connect: %s", strerror(errno));
  return fd;
}

void client_round_trip(int fd, const payload *p) {
  for (size_t sent = 0; sent < p->message_bytes;) {
    ssize_t n = send(fd, p->bytes + sent, p->message_bytes - sent, MSG_NOSIGNAL);
    if (n <= 0) fail("send: %s", strerror(errno));
    sent += (size_t)n;
  }
  client_receive_first(fd, p);
}

void client_receive_first(int fd, const payload *p) {
  for (size_t got = 0; got < p->message_bytes;) {
    size_t  left = p->message_bytes - got;
    ssize_t n = recv(fd, receive_buffer, left < RECEIVE_BYTES ? left : RECEIVE_BYTES, 0);
    if (n < 0) fail("receive: %s", strerror(errno));
    if (n == 0) fail("the server closed a connection");
    if (memcmp(receive_buffer, p->bytes + got, (size_t)n) != 0) fail("an echo differs from what was sent");
    got += (size_t)n;
  }
}

int client_connect_calmly(const struct sockaddr_in *server, const payload *p, size_t index) {
  int fd = client_connect(server);
  if (index % CLIENT_CALM_STEP == CLIENT_CALM_STEP - 1) client_round_trip(fd, p);
  return fd;
}

static void client_watch(client *c) {
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0) fail("epoll_ctl: %s", strerror(errno));
}

void client_init(client *c, int fd, int epoll_fd, const payload *p, size_t index, size_t in_flight_max) {
  *c = (client){.fd = fd, .epoll_fd = epoll_fd, .payload = p, .in_flight_max = in_flight_max};
  c->send_at = c->receive_at = payload_start(p, index);
  c->start_ns = calloc(in_flight_max, sizeof *c->start_ns);
  if (c->start_ns == NULL) fail("out of memory");
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) fail("fcntl: %s", strerror(errno));
  client_watch(c);
}

void client_reconnect(client *c, const struct sockaddr_in *server, uint64_t serial) {
  int                on = 1;
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(0x7f010000u | (uint32_t)(1 + serial % 48000)); /* 127.1.x.y */
  close(c->fd);
  c->writing = false;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd < 0) fail("socket: %s", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on); /* connect picks the port */
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0) fail("bind: %s", strerror(errno));
  if (connect(c->fd, (const struct sockaddr *)server, sizeof *server) < 0 && errno != EINPROGRESS)
    fail("connect: %s", strerror(errno));
  client_watch(c);
}

static void client_want_write(client *c, bool wanted) {
  if (c->writing == wanted) return;
  struct epoll_event ev = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
  if (epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0) fail("epoll_ctl: %s", strerror(errno));
  c->writing = wanted;
}

void client_flush(client *c) {
  ssize_t sent = send(c->fd, c->payload->bytes + c->send_at, c->unsent_bytes, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) fail("send: %s", strerror(errno));
  if (sent > 0) {
    c->send_at = payload_advance(c->payload, c->send_at, (size_t)sent);
    c->unsent_bytes -= (size_t)sent;
  }
  client_want_write(c, c->unsent_bytes > 0);
}

void client_expect(client *c, size_t messages, int64_t start_ns) {
  for (size_t i = 0; i < messages; i++) {
    c->start_ns[(c->oldest + c->in_flight) % c->in_flight_max] = start_ns;
    c->in_flight++;
  }
}

void client_send(client *c, size_t messages, int64_t start_ns) {
  client_expect(c, messages, start_ns);
  c->unsent_bytes += messages * c->payload->message_bytes;
  if (!c->writing) client_flush(c); /* else EPOLLOUT sends it behind what is waiting */
}

size_t client_receive(client *c) {
  ssize_t got = recv(c->fd, receive_buffer, sizeof receive_buffer, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (got < 0) fail("receive: %s", strerror(errno));
  if (got == 0) fail("the server closed a connection");
  size_t expected = c->in_flight * c->payload->message_bytes - c->oldest_bytes - c->unsent_bytes;
  if ((size_t)got > expected) fail("%zu bytes came back of %zu that were sent", (size_t)got, expected);
  if (memcmp(receive_buffer, c->payload->bytes + c->receive_at, (size_t)got) != 0)
    fail("an echo differs from what was sent");
  c->receive_at = payload_advance(c->payload, c->receive_at, (size_t)got);
  c->oldest_bytes += (size_t)got;
  size_t complete = c->oldest_bytes / c->payload->message_bytes;
  c->oldest_bytes %= c->payload->message_bytes;
  return complete;
}

int64_t client_take(client *c) {
  int64_t start_ns = c->start_ns[c->oldest];
  if (++c->oldest == c->in_flight_max) c->oldest = 0;
  c->in_flight--;
  return start_ns;
}

void client_close(client *c) {
  close(c->fd);
  free(c->start_ns);
}
