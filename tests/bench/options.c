#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: load [OPTIONS] tcp://127.0.0.1:PORT [tcp://127.0.0.1:PORT]\n"
    "Sends messages to an echo server on this machine, checks every byte that comes back, prints a line of "
    "JSON.\n"
    "Two servers are measured in turn, slice by slice, and compared: a line for each, the second with the "
    "ratios.\n"
    "  --connections N   connections (64)\n"
    "  --size BYTES      bytes of a message (64)\n"
    "  --in-flight N     messages that a connection may have on their way (1)\n"
    "  --warmup S        seconds before the window (0.5)\n"
    "  --seconds S       seconds of the window (3)\n"
    "  --messages N      end the window after N messages instead\n"
    "  --slices N        cut the window into N slices (1)\n"
    "  --rate R          R messages per second over all connections, evenly spaced (as fast as echoes "
    "return)\n"
    "  --broadcast       to a server that sends what one connection sends to all: the first one sends\n"
    "  --reconnect       each message has a connection of its own: connect, send, receive, close\n"
    "  --pid PID         the server: measure its CPU time and memory; once for each server, in their order\n"
    "  --idle N          instead: open N connections, print the server's memory, hold them until stdin ends\n"
    "  --still S         with --idle: then S seconds of silence, and what the server does in them\n"
    "  --counter S       instead: ask the server how much it has done (timers.lua), again after S seconds\n"
    "  --cpu             instead: print the CPU time that the server (--pid) has used so far, in ns\n"
    "  --other-vms       use only connections that tests/bench/sleeper.lua serves from another VM than the "
    "first\n"
    "  --sleeper TEXT    implies --other-vms; the first connection keeps sending TEXT, which makes its VM "
    "sleep\n";

static _Noreturn void misused(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("load: ", stderr);
  vfprintf(stderr, format, args);
  fputs(" (--help lists the options)\n", stderr);
  va_end(args);
  exit(2);
}

static double number(const char *name, const char *text, double min, double max) {
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  if (errno != 0 || end == text || *end != '\0') misused("--%s: '%s' is not a number", name, text);
  if (!(value >= min && value <= max)) misused("--%s: %s is not within %g and %g", name, text, min, max);
  return value;
}

/* Loopback only: this program sends as much as the machine is able to, and nobody else's network is for that. */
static void server_add(options *o, const char *url) {
  char               host[16];
  unsigned           port;
  char               rest;
  struct sockaddr_in at = {.sin_family = AF_INET};
  if (o->server_count == SERVERS_MAX) misused("more than %d servers", SERVERS_MAX);
  if (sscanf(url, "tcp://%15[0-9.]:%u%c", host, &port, &rest) != 2 || port == 0 || port > UINT16_MAX ||
      inet_pton(AF_INET, host, &at.sin_addr) != 1)
    misused("'%s' is not like tcp://127.0.0.1:7000", url);
  if (ntohl(at.sin_addr.s_addr) >> 24 != 127) misused("%s is not on this machine", host);
  at.sin_port = htons((uint16_t)port);
  o->servers[o->server_count++] = at;
}

static void pid_add(options *o, pid_t pid) {
  for (size_t i = 0; i < SERVERS_MAX; i++) {
    if (o->pids[i] != 0) continue;
    o->pids[i] = pid;
    return;
  }
  misused("--pid: more than %d servers", SERVERS_MAX);
}

static void option_set(options *o, const char *name, const char *text) {
  if (strcmp(name, "connections") == 0)
    o->connections = (size_t)number(name, text, 1, 60000);
  else if (strcmp(name, "size") == 0)
    o->message_bytes = (size_t)number(name, text, 1, 1 << 20);
  else if (strcmp(name, "in-flight") == 0)
    o->in_flight_max = (size_t)number(name, text, 1, 4096);
  else if (strcmp(name, "warmup") == 0)
    o->warmup_s = number(name, text, 0, 600);
  else if (strcmp(name, "seconds") == 0)
    o->window_s = number(name, text, 0.01, 3600);
  else if (strcmp(name, "messages") == 0)
    o->messages = (uint64_t)number(name, text, 1, 1e12);
  else if (strcmp(name, "slices") == 0)
    o->slices = (size_t)number(name, text, 1, 1000);
  else if (strcmp(name, "rate") == 0)
    o->rate = number(name, text, 1, 1e7);
  else if (strcmp(name, "pid") == 0)
    pid_add(o, (pid_t)number(name, text, 1, 1e9));
  else if (strcmp(name, "idle") == 0)
    o->idle = (size_t)number(name, text, 1, 60000);
  else if (strcmp(name, "still") == 0)
    o->still_s = number(name, text, 0, 3600);
  else if (strcmp(name, "counter") == 0)
    o->counter_s = number(name, text, 0.1, 3600);
  else if (strcmp(name, "sleeper") == 0)
    o->sleeper = text;
}

void options_parse(options *o, int argc, char **argv) {
  static const struct option names[] = {
      {"connections", required_argument, NULL, 0},
      {"size", required_argument, NULL, 0},
      {"in-flight", required_argument, NULL, 0},
      {"warmup", required_argument, NULL, 0},
      {"seconds", required_argument, NULL, 0},
      {"messages", required_argument, NULL, 0},
      {"rate", required_argument, NULL, 0},
      {"pid", required_argument, NULL, 0},
      {"idle", required_argument, NULL, 0},
      {"sleeper", required_argument, NULL, 0},
      {"slices", required_argument, NULL, 0},
      {"still", required_argument, NULL, 0},
      {"counter", required_argument, NULL, 0},
      {"cpu", no_argument, NULL, 'c'},
      {"broadcast", no_argument, NULL, 'b'},
      {"reconnect", no_argument, NULL, 'r'},
      {"other-vms", no_argument, NULL, 'v'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  *o = (options){.connections = 64,
                 .message_bytes = 64,
                 .in_flight_max = 1,
                 .warmup_s = 0.5,
                 .window_s = 3,
                 .slices = 1};
  int found;
  int index = 0;
  while ((found = getopt_long(argc, argv, "h", names, &index)) != -1) {
    if (found == 0)
      option_set(o, names[index].name, optarg);
    else if (found == 'v')
      o->other_vms = true;
    else if (found == 'c')
      o->cpu = true;
    else if (found == 'b')
      o->broadcast = true;
    else if (found == 'r')
      o->reconnect = true;
    else if (found == 'h')
      exit(fputs(usage, stdout) < 0);
    else
      exit(2); /* getopt_long has said what is wrong */
  }
  if (o->sleeper != NULL) o->other_vms = true;
  if ((o->cpu || o->counter_s > 0) && o->pids[0] == 0) misused("--cpu and --counter need --pid");
  if (optind == argc && !o->cpu) misused("the address of a server is needed");
  while (optind < argc) server_add(o, argv[optind++]);
  if (o->server_count > 1 && (o->idle > 0 || o->counter_s > 0 || o->other_vms))
    misused("--idle, --counter and --other-vms take one server");
  if ((o->broadcast || o->reconnect) && (o->rate > 0 || o->in_flight_max > 1))
    misused("--broadcast and --reconnect have one message in flight, and no rate");
}
