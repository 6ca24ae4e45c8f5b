/* start.c - how long a server takes from its exec until its first byte has been echoed.
 *
 *   start RUNS COMMAND [ARGUMENT...]      the address, tcp://127.0.0.1:PORT, is added as last argument
 *
 * Prints a line of JSON with the median, the shortest and the longest of RUNS runs. The clock starts before the fork;
 * connecting is tried every 100 us, and so the figure is too high by half of that. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

enum { RUNS_MAX = 1000, ARGUMENTS_MAX = 64, TRY_EVERY_NS = 100000, STUCK_MS = 10000, END_MS = 5000 };

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A port that was free a moment ago; the server binds it with SO_REUSEADDR or at least before anybody else does. */
static struct sockaddr_in free_address(void) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t          len = sizeof at;
  int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
    fail("no free port: %s", strerror(errno));
  close(fd);
  return at;
}

static pid_t server_start(char **command) {
  pid_t pid = fork();
  if (pid < 0) fail("fork: %s", strerror(errno));
  if (pid > 0) return pid;
  int nowhere = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; fd++) dup2(nowhere, fd);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  execvp(command[0], command);
  _exit(127);
}

static void server_end(pid_t pid) {
  const struct timespec step = {.tv_nsec = 1000000};
  kill(pid, SIGTERM);
  for (double end_ms = now_ms() + END_MS; now_ms() < end_ms; nanosleep(&step, NULL))
    if (waitpid(pid, NULL, WNOHANG) == pid) return;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

/* One byte there and back; returns 0 when nobody listens yet. */
static int echo_one_byte(const struct sockaddr_in *at) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket: %s", strerror(errno));
  char byte = 'x';
  int  echoed = connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
  if (echoed && (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1 || byte != 'x'))
    fail("the server accepted and did not echo");
  close(fd);
  return echoed;
}

static double measure(char **command, int url_at) {
  const struct timespec step = {.tv_nsec = TRY_EVERY_NS};
  struct sockaddr_in    at = free_address();
  char                  url[40];
  snprintf(url, sizeof url, "tcp://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
  command[url_at] = url;
  double start_ms = now_ms();
  pid_t  pid = server_start(command);
  while (!echo_one_byte(&at)) {
    if (now_ms() - start_ms > STUCK_MS || waitpid(pid, NULL, WNOHANG) == pid) fail("'%s' does not serve", command[0]);
    nanosleep(&step, NULL);
  }
  double took_ms = now_ms() - start_ms;
  server_end(pid);
  return took_ms;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  char  *command[ARGUMENTS_MAX + 2] = {NULL};
  double took_ms[RUNS_MAX];
  int    runs = argc > 1 ? atoi(argv[1]) : 0;
  if (argc < 3 || argc - 2 > ARGUMENTS_MAX || runs < 1 || runs > RUNS_MAX) {
    fprintf(stderr, "usage: start RUNS COMMAND [ARGUMENT...]\n");
    return 2;
  }
  for (int i = 2; i < argc; i++) command[i - 2] = argv[i];
  prctl(PR_SET_TIMERSLACK, 1UL);
  for (int i = 0; i < runs; i++) took_ms[i] = measure(command, argc - 2);
  qsort(took_ms, (size_t)runs, sizeof took_ms[0], by_size);
  double median_ms = (took_ms[runs / 2] + took_ms[(runs - 1) / 2]) / 2;
  printf("{\"mode\":\"start\",\"runs\":%d,\"start_ms\":%.2f,\"start_ms_min\":%.2f,\"start_ms_max\":%.2f}\n", runs,
         median_ms, took_ms[0], took_ms[runs - 1]);
  return 0;
}
