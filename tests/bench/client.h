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
  size_t         answered; /* the caller's note: the last slice in which it had an echo, from 1 */
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

enum { CLIENT_CALM_STEP = 64 };

/* Now, in ns of the monotonic clock. */
int64_t client_clock_ns(void);

/* Lets so many seconds pass. */
void client_sleep(double seconds);

/* Connects, with Nagle's algorithm off; the socket still blocks, for at most 10 s. Ends the program on failure. */
int client_connect(const struct sockaddr_in *server);

/* Connects number `index` of many. Each 64th has an echo of the first message of `p`: servers accept in order, so all
 * before it are accepted then, and the server's backlog never overflows. */
int client_connect_calmly(const struct sockaddr_in *server, const payload *p, size_t index);

/* Sends and takes the echo of the first message of `p` over a socket that blocks; ends the program if it differs. */
void client_round_trip(int fd, const payload *p);

/* Only takes the first message of `p`, which somebody else has sent. */
void client_receive_first(int fd, const payload *p);

/* Makes a client of a connected socket and adds it to the epoll set, with itself as the event's pointer. */
void client_init(client *c, int fd, int epoll_fd, const payload *p, size_t index, size_t in_flight_max);

/* Closes the connection and makes another one, from the source address that `serial` picks out of 48,000: those just
 * closed keep their ports for a minute, so one address would run out of them. Nothing may be on its way. */
void client_reconnect(client *c, const struct sockaddr_in *server, uint64_t serial);

/* Counts `messages` messages that somebody else sends to this connection as started at start_ns. */
void client_expect(client *c, size_t messages, int64_t start_ns);

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
