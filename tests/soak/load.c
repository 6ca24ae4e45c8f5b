/* load.c - many clients of the soak's server, each with a habit: bursts, trickles, slow readers, resets, half-closes,
 * idling. Every byte that comes back is compared.
 *
 *   load SECONDS CLIENTS SEED SERVER-PID KIND=PORT...
 *
 * Also sends the server signals that must not matter, among them SIGSTOP and, soon after, SIGCONT. Prints its counts;
 * exit code 1 with the reason on stderr if a byte was wrong or lost, or a connection got nowhere for 60 s.
 * One thread and poll(): simple, and far from being the slower side. Linux only. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 10000, KINDS_MAX = 16, PIECE_MAX = 65536, TOTAL_MAX = 1500001 };
enum { PATIENCE_MS = 60000, PAUSE_MS = 300 };

/* How a connection ends. */
typedef enum ending { END_CLOSE, END_HALF, END_RESET, END_LEAVE, ENDINGS } ending;
static const char *const ending_names[ENDINGS] = {"closed", "half_closed", "reset", "left_unread"};

/* What a kind of listener may do to a connection that is otherwise in order. */
typedef struct kind {
  char     name[16];
  uint16_t port;
  bool     may_end;    /* at any time: its handlers raise errors */
  bool     may_refuse; /* before the first byte: it stops listening now and then */
  bool     blocks;     /* each piece may block a VM for 30 ms: little is asked of it */
} kind;

typedef struct client {
  int         fd; /* -1 = none: the next connection is made at read_ms */
  const kind *to;
  uint32_t    serial; /* decides its bytes */
  size_t      sent, received, total, stop_at; /* stop_at: bytes received after which END_RESET and END_LEAVE end it */
  size_t      send_bytes, read_bytes;         /* at most so many in one call, */
  int64_t     send_pause_ms, read_pause_ms;   /* and then nothing for so long */
  int64_t     send_ms, read_ms, moved_ms;     /* not before; last progress */
  int64_t     idle_ms;                        /* how long it stays when all is done */
  bool        connected, shut;
  ending      end;
} client;

static_assert(2000 + TOTAL_MAX / 25 <= PIECE_MAX, "see client_plan");

static kind          kinds[KINDS_MAX];
static size_t        kind_count;
static client        clients[CLIENTS_MAX];
static struct pollfd polled[CLIENTS_MAX];
static size_t        client_count;
static uint64_t      random_state;
static uint32_t      next_serial;
static bool          over; /* time is up: finish, and begin nothing */
static struct {
  unsigned long connections, ended[ENDINGS], by_server, refused, signals;
  uint64_t      bytes;
} counts;

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0 .. below - 1 */
static size_t chance(size_t below) {
  random_state += UINT64_C(0x9E3779B97F4A7C15);
  uint64_t z = random_state;
  z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return (size_t)((z ^ (z >> 31)) % below);
}

static void fail(const client *c, const char *what) {
  fprintf(stderr, "connection %u to %s, %s: %s, after %zu of %zu bytes sent and %zu received (errno: %s)\n", c->serial,
          c->to->name, ending_names[c->end], what, c->sent, c->total, c->received, strerror(errno));
  exit(1);
}

/* The byte at a place of a connection: differs between connections, and between places near each other and far. */
static uint8_t byte_at(uint32_t serial, size_t at) {
  return (uint8_t)((serial * 2654435761u + (uint32_t)at * 40503u + (uint32_t)(at >> 8)) >> 5);
}

/* ---- the life of a connection ---- */

static void client_plan(client *c, int64_t now) {
  static const size_t totals[] = {1, 64, 3000, 20000, 100000, 1000000};
  *c = (client){.fd = -1, .to = &kinds[chance(kind_count)], .serial = next_serial++};
  c->total = 1 + totals[chance(6)] / 2 + chance(totals[chance(6)]);
  if (c->to->blocks && c->total > 3000) c->total = 3000;
  c->send_bytes = c->read_bytes = PIECE_MAX;
  switch (chance(6)) {
  case 0: c->send_bytes = 1 + c->total / 50, c->send_pause_ms = 20; break; /* trickles */
  case 1: c->read_bytes = 2000 + c->total / 50, c->read_pause_ms = 20; break; /* reads slowly */
  case 2: c->send_bytes = 1 + c->total / 25, c->send_pause_ms = 10; break;
  default: break;
  }
  c->end = (ending)chance(ENDINGS);
  c->stop_at = chance(c->total);
  c->idle_ms = chance(4) == 0 ? 3000 : (int64_t)chance(500);
  c->read_ms = c->moved_ms = now + (int64_t)chance(1000);
}

static void client_next(client *c, int64_t now) {
  if (c->fd >= 0) close(c->fd);
  client_plan(c, now);
}

static void client_end(client *c, int64_t now) {
  struct linger none = {.l_onoff = 1};
  if (c->end == END_RESET) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  counts.ended[c->end]++;
  client_next(c, now);
}

/* The connection has ended from the other side, or was never made. */
static void client_lost(client *c, const char *what, int64_t now) {
  bool refused = errno == ECONNREFUSED || (c->received == 0 && errno != ETIMEDOUT);
  if (c->to->may_refuse && refused) counts.refused++;
  else if (c->to->may_end) counts.by_server++;
  else fail(c, what);
  client_next(c, now);
}

static void client_connect(client *c, int64_t now) {
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons(c->to->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  /* Ports of closed connections stay taken for a minute: other addresses have others. */
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F010000 + (uint32_t)chance(60000))};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail(c, "no socket");
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0) fail(c, "cannot bind");
  counts.connections++;
  c->moved_ms = now;
  int err = connect(c->fd, (struct sockaddr *)&to, sizeof to);
  if (err < 0 && errno != EINPROGRESS) client_lost(c, "no connection", now);
}

static void client_send(client *c, int64_t now) {
  uint8_t piece[PIECE_MAX];
  size_t  left = c->total - c->sent, bytes = left < c->send_bytes ? left : c->send_bytes;
  for (size_t i = 0; i < bytes; i++) piece[i] = byte_at(c->serial, c->sent + i);
  ssize_t n = send(c->fd, piece, bytes, MSG_NOSIGNAL);
  if (n < 0) {
    if (errno != EAGAIN) client_lost(c, "cannot send", now);
    return;
  }
  c->connected = true;
  c->sent += (size_t)n;
  c->send_ms = now + c->send_pause_ms;
  c->moved_ms = now;
  if (c->sent < c->total || c->end != END_HALF) return;
  if (shutdown(c->fd, SHUT_WR) < 0 && errno != ENOTCONN) fail(c, "cannot shut down");
  c->shut = true;
}

static void client_check(client *c, const uint8_t *piece, size_t bytes) {
  if (c->received + bytes > c->sent) fail(c, "more came back than was sent");
  for (size_t i = 0; i < bytes; i++) {
    if (piece[i] != byte_at(c->serial, c->received + i)) fail(c, "a wrong byte came back");
  }
  c->received += bytes;
  counts.bytes += bytes;
}

static void client_receive(client *c, int64_t now) {
  uint8_t piece[PIECE_MAX];
  ssize_t n = recv(c->fd, piece, c->read_bytes, 0);
  if (n < 0) {
    if (errno != EAGAIN) client_lost(c, "cannot receive", now);
    return;
  }
  if (n == 0) {
    errno = 0;
    if (c->shut && c->received == c->total) client_end(c, now);
    else client_lost(c, "the server ended it early", now);
    return;
  }
  client_check(c, piece, (size_t)n);
  c->read_ms = now + c->read_pause_ms;
  c->moved_ms = now;
}

/* True if it has had all that it wanted, and now ends. */
static bool client_done(client *c, int64_t now) {
  if ((c->end == END_RESET || c->end == END_LEAVE) && c->received >= c->stop_at && c->sent > 0) return true;
  if (c->received < c->total || c->shut) return false; /* shut: ends when the server does */
  return over || now - c->moved_ms >= c->idle_ms;
}

/* ---- all of them ---- */

/* What to wait for; *out_wait_ms becomes no more than the time till something is to be done without an event. */
static short client_wants(const client *c, int64_t now, int *out_wait_ms) {
  short   events = 0;
  int64_t at[2] = {c->read_ms, c->send_ms};
  if (now >= c->read_ms) events |= POLLIN;
  if (now >= c->send_ms && c->sent < c->total) events |= POLLOUT;
  for (int i = 0; i < 2; i++) {
    if (at[i] > now && at[i] - now < *out_wait_ms) *out_wait_ms = (int)(at[i] - now);
  }
  return events;
}

static void client_step(client *c, short events, int64_t now) {
  if (c->fd < 0) {
    if (!over && now >= c->read_ms) client_connect(c, now);
    return;
  }
  /* A connection that ended is read to its end first, at its own pace. */
  if ((events & (POLLIN | POLLERR | POLLHUP)) != 0 && now >= c->read_ms) client_receive(c, now);
  else if ((events & POLLOUT) != 0) client_send(c, now);
  if (c->fd < 0) return;
  if (client_done(c, now)) client_end(c, now);
  else if (now - c->moved_ms > PATIENCE_MS) fail(c, "it gets nowhere");
}

/* One look at all. result: how many are connected */
static size_t clients_step(void) {
  int     wait_ms = 20;
  int64_t now = now_ms();
  size_t  connected = 0;
  for (size_t i = 0; i < client_count; i++) {
    polled[i] = (struct pollfd){.fd = clients[i].fd, .events = client_wants(&clients[i], now, &wait_ms)};
    if (polled[i].events == 0) polled[i].fd = -1; /* not even an error is wanted: it would come again and again */
  }
  if (poll(polled, client_count, wait_ms) < 0 && errno != EINTR) fail(&clients[0], "cannot poll");
  now = now_ms();
  for (size_t i = 0; i < client_count; i++) {
    client_step(&clients[i], polled[i].fd >= 0 ? polled[i].revents : 0, now);
    if (clients[i].fd >= 0) connected++;
  }
  return connected;
}

/* Signals that the program must take as if there were none; a stop lasts for PAUSE_MS. */
static void send_signal(pid_t server, int64_t now) {
  static const int harmless[] = {SIGSTOP, SIGCONT, SIGPIPE, SIGCHLD, SIGWINCH, SIGURG};
  static int64_t   next_ms, stopped_ms;
  if (stopped_ms > 0 && (now - stopped_ms >= PAUSE_MS || over)) {
    kill(server, SIGCONT);
    stopped_ms = 0;
  }
  if (stopped_ms > 0 || over || now < next_ms) return;
  next_ms = now + 500 + (int64_t)chance(1500);
  int number = harmless[chance(sizeof harmless / sizeof harmless[0])];
  if (kill(server, number) < 0) fail(&clients[0], "the server is gone");
  counts.signals++;
  if (number == SIGSTOP) stopped_ms = now;
}

static void read_kinds(char **words) {
  for (; *words != NULL && kind_count < KINDS_MAX; words++) {
    kind *k = &kinds[kind_count];
    if (sscanf(*words, "%15[a-z]=%hu", k->name, &k->port) != 2) continue;
    k->may_end = strcmp(k->name, "faulty") == 0;
    k->may_refuse = strcmp(k->name, "restless") == 0;
    k->blocks = strcmp(k->name, "blocking") == 0;
    kind_count++;
  }
}

int main(int argc, char **argv) {
  if (argc > 4) read_kinds(argv + 5);
  client_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  if (kind_count == 0 || client_count == 0 || client_count > CLIENTS_MAX) {
    fprintf(stderr, "usage: load SECONDS CLIENTS SEED SERVER-PID KIND=PORT...\n");
    return 2;
  }
  random_state = strtoull(argv[3], NULL, 10);
  pid_t   server = (pid_t)strtol(argv[4], NULL, 10);
  int64_t now = now_ms(), end = now + (int64_t)(strtod(argv[1], NULL) * 1000);
  for (size_t i = 0; i < client_count; i++) client_plan(&clients[i], now);
  do {
    now = now_ms();
    over = now >= end;
    send_signal(server, now);
  } while (clients_step() > 0 || !over);
  printf("connections=%lu bytes=%llu", counts.connections, (unsigned long long)counts.bytes);
  for (int i = 0; i < ENDINGS; i++) printf(" %s=%lu", ending_names[i], counts.ended[i]);
  printf(" ended_by_server=%lu refused=%lu signals=%lu\n", counts.by_server, counts.refused, counts.signals);
  return 0;
}
