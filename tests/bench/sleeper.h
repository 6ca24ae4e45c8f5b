/* sleeper.h - the one connection that makes its VM sleep, to see whether the other VMs' connections notice.
 *
 * What is agreed with tests/bench/sleeper.lua, each a line: "VM?" is answered by the number of the connection's VM,
 * "SLEEP ..." by "SLEPT" after the nap, anything else by itself. */
#ifndef PORTICO_BENCH_SLEEPER_H
#define PORTICO_BENCH_SLEEPER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sleeper {
  int         fd;
  int         vm;
  const char *text; /* NULL: only takes its place on a VM and stays quiet, for comparison */
  char        reply[80];
  int         reply_bytes;
  bool        asleep; /* a nap is asked for and not over */
  uint64_t    naps;
} sleeper;

/* Connects and asks for its VM. */
void sleeper_open(sleeper *s, const struct sockaddr_in *server, const char *text);

/* Connects until the server gives a connection that is on another VM than the sleeper; returns its socket, which still
 * blocks. Those on the sleeper's VM stay open, or the server would give their places out again. */
int sleeper_connect_elsewhere(const sleeper *s, const struct sockaddr_in *server);

/* Adds it to the epoll set, with itself as the event's pointer, and asks for the first nap; not when it is quiet. */
void sleeper_start(sleeper *s, int epoll_fd);

/* Receives; when the nap is over and `again`, asks for the next. */
void sleeper_receive(sleeper *s, bool again);

#endif
