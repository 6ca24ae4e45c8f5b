/* scenario.c - start, serve, stop. */
#include "faults/scenario.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "faults/fault.h"
#include "folder.h"
#include "portico.h"

enum { PATIENCE_S = 20, VISITORS = 5, ROUNDS = 2, MESSAGE_BYTES = 20000, BIG_BYTES = 400000 };

/* The first byte of a message says what is to happen: see client_visit. */
static const char script[] =
    "local portico = require 'portico'\n"
    "local got, seen = 0, {}\n"
    "local words = coroutine.wrap(function()\n"
    "  while true do for w in ('a bb ccc'):gmatch('%%a+') do coroutine.yield(w) end end\n"
    "end)\n"
    "local l = assert(portico.listen('tcp://127.0.0.1:0', {\n"
    "  on_open = function(c) c.bytes = 0; seen[c.id] = {peer = c.peer, own = c.own, word = words()} end,\n"
    "  on_data = function(c, d)\n"
    "    c.bytes = c.bytes + #d; got = got + #d\n"
    "    local what = d:sub(1, 1)\n"
    "    if what == 'b' then c:send(('b'):rep(400000))\n"
    "    elseif what == 'c' then c:send('x', d); c:close()\n"
    "    elseif what == 'e' then error({}, 0)\n"
    "    elseif what == 'a' then c:abort()\n"
    "    else c:send(d) end\n"
    "  end,\n"
    "  on_drain = function(c) c.drained = true end,\n"
    "  on_end = function(c) c:send('bye'); c:shutdown() end,\n"
    "  on_close = function(c, err, code) seen[c.id] = nil end,\n"
    "  %s\n"
    "}))\n"
    "portico.subscribe('t', function(text) got = got + #text end)\n"
    "local beat = portico.every(0.001, function(...) got = got + select('#', ...) end, 1, 2, 3, 4, 5)\n"
    "portico.after(0.002, function() beat:cancel() end)\n"
    "portico.connect(l.url, {\n"
    "  on_open = function(c) c:send('hello', ' ', 'you') end,\n"
    "  on_data = function(c, d) c:close() end,\n"
    "})\n"
    "portico.connect('tcp://localhost:1', {on_close = function(c, err) got = got + #tostring(err) end})\n"
    "portico.log('info', 'url ' .. l.url)\n";

static const char    *current;    /* what is going on, for the alarm */
static _Atomic unsigned url_port; /* as the script logged it; 0 = not yet */

static void on_alarm(int signal_number) {
  (void)signal_number;
  fault_exempt(true);
  fprintf(stderr, "still not over after %d s: %s\n", PATIENCE_S, current);
  abort();
}

static void on_log(const portico_log_record *record, void *arg) {
  (void)arg;
  unsigned port;
  if (sscanf(record->text, "url tcp://127.0.0.1:%u", &port) == 1) atomic_store(&url_port, port);
}

/* ---- the client: what it does neither counts nor fails ---- */

static int client_connect(unsigned port) {
  int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

/* Sends a message and reads `wanted` bytes, or the end of the connection. False if it was the end. */
static bool client_ask(int fd, char what, size_t bytes, size_t wanted) {
  char data[MESSAGE_BYTES];
  memset(data, what, sizeof data);
  if (send(fd, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) return false;
  for (size_t at = 0; at < wanted;) {
    ssize_t n = recv(fd, data, wanted - at < sizeof data ? wanted - at : sizeof data, 0);
    if (n <= 0) return false;
    for (ssize_t i = 0; i < n; i++) {
      if (data[i] != what && data[i] != 'x') return false;
    }
    at += (size_t)n;
  }
  return true;
}

static bool client_sees_end(int fd) {
  char data[64];
  ssize_t n;
  while ((n = recv(fd, data, sizeof data, 0)) > 0) continue;
  return n == 0;
}

/* Several connections: echoes small and large, an answer larger than all buffers, our end, the server's, an error in a
 * handler, a reset. */
static bool client_visit(unsigned port) {
  fault_exempt(true);
  bool served = true;
  int  fds[VISITORS];
  for (int i = 0; i < VISITORS; i++) {
    fds[i] = client_connect(port);
    if (fds[i] < 0) served = false;
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < VISITORS; i++) served = client_ask(fds[i], 'd', 64, 64) && served;
  }
  served = client_ask(fds[0], 'd', MESSAGE_BYTES, MESSAGE_BYTES) && served;
  served = client_ask(fds[0], 'b', 1, BIG_BYTES) && served;
  served = client_ask(fds[1], 'c', 1, 2) && client_sees_end(fds[1]) && served;
  client_ask(fds[2], 'e', 1, 1);
  client_ask(fds[3], 'a', 1, 1);
  shutdown(fds[4], SHUT_WR);
  served = client_sees_end(fds[4]) && served;
  for (int i = 0; i < VISITORS; i++) {
    if (fds[i] >= 0) close(fds[i]);
  }
  fault_exempt(false);
  return served;
}

/* ---- the host ---- */

static bool host_serve(portico_host *h, const scenario *s) {
  char text[sizeof script + 100];
  snprintf(text, sizeof text, script, s->options);
  if (portico_load_string(h, "faults.lua", text, strlen(text), 0, NULL) < 0) return false;
  if (portico_start(h) < 0) return false;
  bool served = client_visit(atomic_load(&url_port));
  if (portico_post(h, "t", "post", 4) < 0) served = false;
  return client_visit(atomic_load(&url_port)) && served;
}

/* A stop that finds no memory says so in the log and may be asked for again. */
static void host_end(portico_host *h, bool started) {
  int code;
  if (started) portico_drain(h, 0);
  fault_end(); /* from here on the end must come */
  if (started) portico_stop(h, 0);
  if (started) portico_wait(h, &code);
  portico_close(h);
}

/* A folder for recordings: made before a run, and emptied and removed after it. */
static void recordings_begin(folder *d) {
  fault_exempt(true);
  if (folder_make(d) != 0) {
    fprintf(stderr, "cannot make a folder: %s\n", current);
    exit(1);
  }
  fault_exempt(false);
}

static void remove_recording(const char *path, void *arg) {
  (void)arg;
  remove(path);
}

static void recordings_end(folder *d) {
  fault_exempt(true);
  portico_find_files(d->path, "", remove_recording, NULL);
  if (folder_remove(d) != 0) {
    fprintf(stderr, "something is left in %s: %s\n", d->path, current);
    exit(1);
  }
  fault_exempt(false);
}

bool scenario_run(const scenario *s, const char *what) {
  folder         recordings;
  portico_config config = PORTICO_CONFIG_DEFAULT;
  config.backend = s->backend;
  config.vms = s->vms;
  config.concurrency = config.workers = s->workers;
  config.log_fn = on_log;
  config.log_level = PORTICO_LOG_INFO;
  current = what;
  if (s->recorded) {
    recordings_begin(&recordings);
    config.record_dir = recordings.path;
  }
  signal(SIGALRM, on_alarm);
  alarm(PATIENCE_S);
  atomic_store(&url_port, 0);
  long          before = fault_outstanding();
  portico_host *h = NULL;
  bool          well = portico_open(&config, &h) == 0 && host_serve(h, s);
  if (h != NULL) host_end(h, true);
  alarm(0);
  if (s->recorded) recordings_end(&recordings);
  if (fault_outstanding() == before) return well;
  fprintf(stderr, "%ld blocks are left: %s\n", fault_outstanding() - before, what);
  exit(1); /* the leak check of the address sanitizer tells where they came from */
}
