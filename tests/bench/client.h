/* client.h - one connection of the load generator: sends messages, checks that their echoes are the same bytes. */
#ifndef PORTICO_BENCH_CLIENT_H
#define PORTICO_BENCH_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload.h"

typedef struct client {
  int            fd;
  int            epoll_fd;
  bool           writing;  /* EPOLLOUT is asked for: the kernel did not take all of a send */
  bool           answered; /* the caller's note: it has had an echo */
  const payload *payload;
  size_t         send_at; /* positions in the payload */
  size_t         receive_at;
  size_t         unsent_bytes;
  size_t         oldest_bytes; /* what has come back of the oldest message on its way */
  size_t         in_flight;    /* messages on their way, and their starting times: a ring */
  size_t         in_flight_max;
  size_t         oldest;
  int64_t       *start_ns;
  size_t         late;    /* messages whose time came while in_flight_max were on their way, */
  int64_t        late_ns; /* and the time of the first of them */
} client;

/* Now, in ns of the monotonic clock. */
int64_t client_clock_ns(void);

/* Connects, with Nagle's algorithm off; the socket still blocks, for at most 10 s. Ends the program on failure. */
int client_connect(const struct sockaddr_in *server);

/* Sends and takes the echo of the first message of `p` over a socket that blocks; ends the program if it differs. */
void client_round_trip(int fd, const payload *p);

/* Makes a client of a connected socket and adds it to the epoll set, with itself as the event's pointer. */
void client_init(client *c, int fd, int epoll_fd, const payload *p, size_t index, size_t in_flight_max);

/* Sends the next `messages` messages in one go; they count as started at start_ns. At most as many as may be added to
 * those on their way. */
void client_send(client *c, size_t messages, int64_t start_ns);

/* Sends what an earlier send had to leave. */
void client_flush(client *c);

/* Receives once and compares; returns how many messages are complete now. Each is to be taken with client_take. */
size_t client_receive(client *c);

/* Takes the oldest complete message off; returns when it started. */
int64_t client_take(client *c);

/* Closes it and frees what it holds. */
void client_close(client *c);

#endif
