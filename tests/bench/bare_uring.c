/* bare_uring.c - the echo server that io_uring makes cheapest: one thread, no Lua, no abstraction. Beside reference.c
 * it shows how much less a message can cost on this kernel at all, whatever is built on top (run.sh --backends).
 *
 *   bare_uring [--buffer BYTES] [tcp://127.0.0.1:PORT]      port 0 (the default) takes any free one
 *
 * One ring that only its thread may use (SINGLE_ISSUER), whose work is done when the thread waits and not before
 * (DEFER_TASKRUN). One accept and one receive per connection are started once (multishot); what comes is in buffers
 * that the kernel takes from a ring (--buffer: bytes of each, 4096), and goes back from there without a copy. All
 * sends of a round are handed over by the call that waits for the next.
 *
 * It writes "listening on tcp://127.0.0.1:PORT" to stderr once it accepts, and runs until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRIES = 1024, BUFFERS = 256, BUFFERS_GROUP = 0, NONE = -1, CQES_MAX = 256 };

/* What a request was for: the two low bits of its user data, the rest is the connection. */
enum { FOR_ACCEPT, FOR_RECEIVE, FOR_SEND };

typedef struct connection connection;
struct connection {
  int         fd;
  int         first, last; /* buffers to send, oldest first; the first one is on its way */
  bool        ended;       /* nothing more to receive: gone when all is sent */
  connection *next;        /* without a receive, for want of buffers */
};

static struct io_uring           ring;
static struct io_uring_buf_ring *spare; /* the kernel's: buffers to receive into */
static char                     *memory;
static size_t                    buffer_bytes = 4096;
static struct {
  unsigned bytes;
  int      next; /* in a connection's line */
} buffers[BUFFERS];
static connection *starved;

static void die(const char *what, int err) {
  fprintf(stderr, "bare_uring: %s: %s\n", what, strerror(err));
  exit(1);
}

static struct io_uring_sqe *room(void) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
  if (sqe == NULL) {
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  if (sqe == NULL) die("no room in the ring", ENOBUFS);
  return sqe;
}

/* Says what a filled-in request is for. */
static void label(struct io_uring_sqe *sqe, connection *c, int what) {
  sqe->user_data = (uintptr_t)c | (unsigned)what;
}

static void connection_receive(connection *c) {
  struct io_uring_sqe *sqe = room();
  io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = BUFFERS_GROUP;
  label(sqe, c, FOR_RECEIVE);
}

static void connection_send(connection *c) {
  struct io_uring_sqe *sqe = room();
  io_uring_prep_send(sqe, c->fd, memory + (size_t)c->first * buffer_bytes, buffers[c->first].bytes,
                     MSG_NOSIGNAL | MSG_WAITALL);
  label(sqe, c, FOR_SEND);
}

static void buffer_give_back(int b) {
  io_uring_buf_ring_add(spare, memory + (size_t)b * buffer_bytes, (unsigned)buffer_bytes, (unsigned short)b,
                        io_uring_buf_ring_mask(BUFFERS), 0);
  io_uring_buf_ring_advance(spare, 1);
  if (starved == NULL) return;
  connection *c = starved;
  starved = c->next;
  connection_receive(c);
}

static void connection_end(connection *c) {
  close(c->fd);
  free(c);
}

static void on_accept(int fd, unsigned flags) {
  if (fd < 0) die("accept", -fd);
  if ((flags & IORING_CQE_F_MORE) == 0) die("accept ended", EIO);
  int on = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) die("TCP_NODELAY", errno);
  connection *c = calloc(1, sizeof *c);
  if (c == NULL) die("calloc", ENOMEM);
  c->fd = fd;
  c->first = c->last = NONE;
  connection_receive(c);
}

static void on_received(connection *c, int result, unsigned flags) {
  if (result > 0) {
    int b = (int)(flags >> IORING_CQE_BUFFER_SHIFT);
    buffers[b].bytes = (unsigned)result;
    buffers[b].next = NONE;
    if (c->first == NONE) c->first = b;
    else buffers[c->last].next = b;
    c->last = b;
    if (c->first == b) connection_send(c);
  }
  if ((flags & IORING_CQE_F_MORE) != 0) return;
  if (result == -ENOBUFS) {
    c->next = starved;
    starved = c;
  } else if (result > 0) {
    connection_receive(c);
  } else {
    c->ended = true;
    if (c->first == NONE) connection_end(c);
  }
}

static void on_sent(connection *c) {
  int b = c->first;
  c->first = buffers[b].next;
  buffer_give_back(b);
  if (c->first != NONE) connection_send(c);
  else if (c->ended) connection_end(c);
}

static void on_completion(const struct io_uring_cqe *cqe) {
  connection *c = (connection *)(uintptr_t)(cqe->user_data & ~(uint64_t)3);
  switch (cqe->user_data & 3) {
  case FOR_ACCEPT: on_accept(cqe->res, cqe->flags); break;
  case FOR_RECEIVE: on_received(c, cqe->res, cqe->flags); break;
  case FOR_SEND: on_sent(c); break;
  }
}

static void open_ring(void) {
  struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                            IORING_SETUP_CQSIZE,
                                   .cq_entries = 16 * ENTRIES};
  int err = io_uring_queue_init_params(ENTRIES, &ring, &params);
  if (err < 0) die("io_uring is refused", -err);
  size_t ring_bytes = BUFFERS * sizeof(struct io_uring_buf);
  spare = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
  memory = malloc(BUFFERS * buffer_bytes);
  if (spare == MAP_FAILED || memory == NULL) die("memory", ENOMEM);
  struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)spare, .ring_entries = BUFFERS, .bgid = BUFFERS_GROUP};
  err = io_uring_register_buf_ring(&ring, &reg, 0);
  if (err < 0) die("a ring of buffers is refused", -err);
  io_uring_buf_ring_init(spare);
  for (int b = 0; b < BUFFERS; b++) buffer_give_back(b);
}

static void listen_on(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket", errno);
  int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) die("SO_REUSEADDR", errno);
  struct sockaddr_in at = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind", errno);
  if (listen(fd, SOMAXCONN) < 0) die("listen", errno);
  struct io_uring_sqe *sqe = room();
  io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
  label(sqe, NULL, FOR_ACCEPT);
  socklen_t len = sizeof at;
  if (getsockname(fd, (struct sockaddr *)&at, &len) < 0) die("getsockname", errno);
  fprintf(stderr, "listening on tcp://127.0.0.1:%u\n", (unsigned)ntohs(at.sin_port));
}

static void misused(void) {
  fprintf(stderr, "usage: bare_uring [--buffer BYTES] [tcp://127.0.0.1:PORT]\n");
  exit(2);
}

static uint16_t port_from(const char *url) {
  unsigned port;
  char     rest;
  if (sscanf(url, "tcp://127.0.0.1:%u%c", &port, &rest) != 1 || port > UINT16_MAX) misused();
  return (uint16_t)port;
}

int main(int argc, char **argv) {
  int at = 1;
  if (argc > 2 && strcmp(argv[1], "--buffer") == 0) {
    char rest;
    if (sscanf(argv[2], "%zu%c", &buffer_bytes, &rest) != 1 || buffer_bytes == 0 || buffer_bytes > 1 << 20) misused();
    at = 3;
  }
  uint16_t port = port_from(argc > at ? argv[at] : "tcp://127.0.0.1:0");
  open_ring();
  listen_on(port);
  for (;;) {
    int err = io_uring_submit_and_wait(&ring, 1);
    if (err < 0 && err != -EINTR) die("io_uring_enter", -err);
    struct io_uring_cqe *cqes[CQES_MAX];
    unsigned             count = io_uring_peek_batch_cqe(&ring, cqes, CQES_MAX);
    for (unsigned i = 0; i < count; i++) on_completion(cqes[i]);
    io_uring_cq_advance(&ring, count);
  }
}
