/* options.h - the command line of the load generator. */
#ifndef PORTICO_BENCH_OPTIONS_H
#define PORTICO_BENCH_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SERVERS_MAX = 2 };

typedef struct options {
  struct sockaddr_in servers[SERVERS_MAX];
  pid_t              pids[SERVERS_MAX]; /* 0: costs of that server are not measured */
  size_t             server_count;
  size_t             connections;
  size_t             message_bytes;
  size_t             in_flight_max; /* messages that one connection may have on their way */
  double             warmup_s;
  double             window_s;
  uint64_t           messages; /* 0: the window ends by time; else after so many messages */
  size_t             slices;   /* the window is cut into so many, and two servers take turns at them */
  double      rate; /* messages per second of all connections together; 0: as fast as the echoes come back */
  bool        cpu;       /* only say what CPU time the server has used */
  bool        broadcast; /* the first connection sends, every one receives */
  bool        reconnect; /* each message has a connection of its own */
  double      still_s;   /* with idle: measure for so long what the server does meanwhile */
  double      counter_s; /* > 0: ask the server for its counter, and so much later again */
  size_t      idle; /* > 0: open so many connections, measure memory, hold them */
  bool        other_vms; /* use only connections that are on another VM than the first one */
  const char *sleeper;   /* what the first connection sends to make its VM sleep; NULL: it stays quiet */
} options;

/* Reads the command line; a mistake in it prints one line and ends with 2, --help prints the usage and ends with 0. */
void options_parse(options *o, int argc, char **argv);

#endif
