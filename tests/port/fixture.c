/* fixture.c - ports, owned things, deadlines, expected packets. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "folder.h"
#include "os/sim.h"

enum { FIXTURE_PORTS = 4, FIXTURE_PATHS = 4 };

typedef struct fixture_block {
  struct fixture_block *next;
  max_align_t           data[];
} fixture_block;

struct fixture {
  port          *ports[FIXTURE_PORTS];
  bool           closed[FIXTURE_PORTS];
  unsigned       port_count;
  port_handle  **handles; /* NULL where one was closed */
  size_t         handle_count;
  os_socket     *sockets; /* OS_SOCKET_NONE where one was closed or became a handle */
  size_t         socket_count;
  fixture_block *blocks;
  folder         files; /* made with the first path */
  char           paths[FIXTURE_PATHS][FOLDER_PATH_BYTES];
  unsigned       path_count;
  void (*end)(fixture *f, void *arg);
  void   *end_arg;
  os_sim *world; /* of the backend sim, else NULL */
  bool  messy; /* something was left behind */
};

/* ---- setup and teardown ---- */

static const char *fixture_backend(void) {
  const char *name = getenv("PORTICO_TEST_BACKEND");
  return name != NULL && name[0] != '\0' ? name : port_backend_name(0);
}

/* A world in real time, for the suite has threads. Things come late and in another order; but not in parts, nor are
 * there false alarms: as on the loopback of a system, the cases take a few bytes that were sent together for one piece.
 * PORTICO_TEST_SEED gives another order. */
static int fixture_enter_world(fixture *f) {
  const char    *seed = getenv("PORTICO_TEST_SEED");
  os_sim_options options = {
      .seed = seed != NULL ? strtoull(seed, NULL, 10) : 1,
      .clock = OS_SIM_REAL,
      .delay_ns_max = 100 * OS_NS_PER_US,
      .rates = {.delay = OS_SIM_ALWAYS / 10, .shuffle = OS_SIM_ALWAYS / 4},
  };
  int err = os_sim_open(&options, &f->world);
  if (err == 0) os_sim_enter(f->world);
  return err;
}

int fixture_setup(void **state) {
  fixture *f = calloc(1, sizeof *f);
  *state = f;
  if (f == NULL || os_sockets_init() != 0) return -1;
  return strcmp(fixture_backend(), "sim") == 0 ? fixture_enter_world(f) : 0;
}

static void fixture_complain(fixture *f, const char *what, size_t count) {
  if (count == 0) return;
  print_error("left behind: %u %s\n", (unsigned)count, what);
  f->messy = true;
}

static void fixture_count_drop(const port_packet *packet, void *count) {
  if (packet->key != STOP) ++*(size_t *)count;
}

/* Takes whatever still comes until nothing is pending: the memory of the ops is about to go. */
static void fixture_drain(fixture *f, port *p) {
  port_packet packet;
  size_t      taken = 0;
  int64_t     end = os_clock_now() + fixture_deadline();
  while (os_clock_now() < end) {
    port_stats stats;
    port_get_stats(p, &stats);
    if (stats.pending == 0 && stats.queued == 0) break;
    if (port_get(p, &packet, 1, MS(10)) == 1 && packet.key != STOP) taken++;
  }
  fixture_complain(f, "packets that came after the end of the case", taken);
  fixture_complain(f, "pending operations", fixture_stat_of(p, PENDING));
}

static void fixture_end_port(fixture *f, unsigned index) {
  port  *p = f->ports[index];
  size_t drops = 0;
  if (!f->closed[index]) {
    fixture_drain(f, p);
    fixture_complain(f, "waiting workers", fixture_stat_of(p, WAITING));
    size_t active = fixture_stat_of(p, ACTIVE);
    fixture_complain(f, "active workers", active > 1 ? active : 0); /* one: this thread, when it took packets */
    port_close(p, fixture_count_drop, &drops);
    fixture_complain(f, "dropped packets", drops);
  }
  port_packet none;
  port_get(p, &none, 1, 0); /* this thread leaves it: it goes, and checks that all operations have ended */
  port_unref(p);
}

/* Ports keep the world as long as threads keep them. */
static void fixture_leave_world(fixture *f) {
  if (f->world == NULL) return;
  os_sim_stats stats;
  os_sim_get_stats(f->world, &stats);
  fixture_complain(f, "open sockets", stats.sockets);
  fixture_complain(f, "calls that named a closed socket", (size_t)stats.stale_calls);
  os_sim_leave();
  os_sim_close(f->world);
}

int fixture_teardown(void **state) {
  fixture *f = *state;
  for (unsigned i = 0; i < f->port_count; i++) {
    if (f->closed[i]) continue;
    fixture_complain(f, "operations pending at the end of the case", fixture_stat_of(f->ports[i], PENDING));
    fixture_complain(f, "packets queued at the end of the case", fixture_stat_of(f->ports[i], QUEUED));
  }
  if (f->end != NULL) f->end(f, f->end_arg);
  for (size_t i = 0; i < f->handle_count; i++) {
    if (f->handles[i] != NULL) port_handle_close(f->handles[i]);
  }
  for (size_t i = 0; i < f->socket_count; i++) {
    if (f->sockets[i] != OS_SOCKET_NONE) os_socket_close(f->sockets[i]);
  }
  for (unsigned i = 0; i < f->port_count; i++) fixture_end_port(f, i);
  for (unsigned i = 0; i < f->path_count; i++) os_file_remove(f->paths[i]);
  if (f->path_count > 0) fixture_complain(f, "folder with files", folder_remove(&f->files) == 0 ? 0 : 1);
  while (f->blocks != NULL) {
    fixture_block *b = f->blocks;
    f->blocks = b->next;
    free(b);
  }
  fixture_leave_world(f);
  int result = f->messy ? -1 : 0;
  free(f->handles);
  free(f->sockets);
  free(f);
  os_sockets_fini();
  return result;
}

void fixture_at_end(fixture *f, void (*end)(fixture *f, void *arg), void *arg) {
  assert_null(f->end);
  f->end = end;
  f->end_arg = arg;
}

void *fixture_end_arg(const fixture *f) {
  return f->end_arg;
}

void fixture_post_stops(fixture *f, unsigned n) {
  for (unsigned i = 0; i < f->port_count; i++) {
    for (unsigned k = 0; k < n && !f->closed[i]; k++) port_post(f->ports[i], STOP, NULL, 0);
  }
}

/* ---- ports and memory ---- */

static port *fixture_open(fixture *f, unsigned concurrency, bool monitor) {
  port_options options = {.backend = fixture_backend(), .concurrency = concurrency, .monitor = monitor};
  port        *p = NULL;
  assert_true(f->port_count < FIXTURE_PORTS);
  int err = port_open(&options, &p);
  if (err == PORTICO_ENOTSUP) {
    print_message("skipped: there is no backend '%s' on this system\n", options.backend);
    skip();
  }
  assert_int_equal(err, 0);
  f->ports[f->port_count++] = p;
  return p;
}

port *fixture_port(fixture *f, unsigned concurrency) {
  return fixture_open(f, concurrency, false);
}

port *fixture_port_monitored(fixture *f, unsigned concurrency) {
  return fixture_open(f, concurrency, true);
}

size_t fixture_close_port(fixture *f, port *p, void (*on_drop)(const port_packet *packet, void *arg), void *arg) {
  for (unsigned i = 0; i < f->port_count; i++) {
    if (f->ports[i] == p) f->closed[i] = true;
  }
  return port_close(p, on_drop, arg);
}

void *fixture_memory(fixture *f, size_t bytes) {
  fixture_block *b = calloc(1, sizeof *b + bytes);
  assert_non_null(b);
  b->next = f->blocks;
  f->blocks = b;
  return b->data;
}

port_op *fixture_op(fixture *f) {
  return fixture_ops(f, 1);
}

port_op *fixture_ops(fixture *f, size_t count) {
  return fixture_memory(f, count * sizeof(port_op));
}

/* ---- sockets and handles ---- */

os_socket fixture_own(fixture *f, os_socket s) {
  assert_true(s != OS_SOCKET_NONE);
  os_socket *grown = realloc(f->sockets, (f->socket_count + 1) * sizeof *grown);
  assert_non_null(grown);
  f->sockets = grown;
  f->sockets[f->socket_count++] = s;
  return s;
}

/* The search starts at the newest: numbers of closed sockets come again. */
static void fixture_disown(fixture *f, os_socket s) {
  size_t i = f->socket_count;
  while (i > 0 && f->sockets[i - 1] != s) i--;
  assert_true(i > 0);
  f->sockets[i - 1] = OS_SOCKET_NONE;
}

void fixture_close_socket(fixture *f, os_socket s) {
  fixture_disown(f, s);
  os_socket_close(s);
}

static port_handle *fixture_keep(fixture *f, os_socket s, port_kind kind, port *p, void *key) {
  port_handle **grown = realloc(f->handles, (f->handle_count + 1) * sizeof(port_handle *));
  assert_non_null(grown);
  f->handles = grown;
  port_handle *h = NULL;
  assert_int_equal(port_handle_open(s, kind, &h), 0);
  f->handles[f->handle_count++] = h;
  if (p != NULL) assert_int_equal(port_attach(p, h, key), 0);
  return h;
}

port_handle *fixture_handle(fixture *f, os_socket s, port_kind kind, port *p, void *key) {
  fixture_disown(f, s);
  return fixture_keep(f, s, kind, p, key);
}

const char *fixture_path(fixture *f, const char *name) {
  assert_true(f->path_count < FIXTURE_PATHS);
  if (f->path_count == 0) assert_int_equal(folder_make(&f->files), 0);
  char *path = f->paths[f->path_count++];
  folder_file(&f->files, name, path);
  return path;
}

port_handle *fixture_file(fixture *f, const char *path, unsigned how, port *p, void *key) {
  os_file file;
  assert_int_equal(os_file_open(path, how, &file), 0);
  return fixture_keep(f, file, PORT_FILE, p, key);
}

static void fixture_disown_handle(fixture *f, port_handle *h) {
  size_t i = 0;
  while (i < f->handle_count && f->handles[i] != h) i++;
  assert_true(i < f->handle_count);
  f->handles[i] = NULL;
}

void fixture_close(fixture *f, port_handle *h) {
  fixture_disown_handle(f, h);
  port_handle_close(h);
}

void fixture_abort(fixture *f, port_handle *h) {
  fixture_disown_handle(f, h);
  port_handle_abort(h);
}

/* ---- skipping, time ---- */

void fixture_need(const port *p, unsigned cap) {
  if ((port_caps(p) & cap) == cap) return;
  unsigned    lacks = cap & ~port_caps(p);
  const char *why = lacks & PORT_CAP_LIFO          ? "releases waiters oldest first here (Wine 8 does)"
                    : lacks & PORT_CAP_CONCURRENCY ? "ignores the concurrency value here (Wine 8 does)"
                                                   : "cannot notice blocked workers here";
  print_message("skipped: %s %s\n", port_name(p), why);
  skip();
}

bool fixture_slow(void) {
#ifdef _WIN32
  return true;
#else
  return getenv("PORTICO_TEST_VALGRIND") != NULL; /* tests/valgrind.sh */
#endif
}

int64_t fixture_deadline(void) {
  return fixture_slow() ? MS(60000) : MS(30000); /* only a failure takes that long, or a very busy machine */
}

int64_t fixture_soon(void) {
  return fixture_slow() ? MS(10000) : MS(1000);
}

int64_t fixture_quiet(void) {
  return fixture_slow() ? MS(200) : MS(60);
}

unsigned fixture_rounds(unsigned count) {
  return fixture_slow() ? (count + 19) / 20 : count;
}

void fixture_pause(int64_t ns) {
  os_event never;
  os_event_init(&never);
  os_event_wait(&never, ns);
  os_event_fini(&never);
}

size_t fixture_stat_of(port *p, fixture_stat which) {
  port_stats stats;
  port_get_stats(p, &stats);
  switch (which) {
  case QUEUED: return stats.queued;
  case WAITING: return stats.waiting;
  case ACTIVE: return stats.active;
  case PENDING: return stats.pending;
  }
  return 0;
}

bool fixture_settles(port *p, fixture_stat which, size_t value) {
  int64_t end = os_clock_now() + fixture_deadline();
  while (fixture_stat_of(p, which) != value) {
    if (os_clock_now() >= end) return false;
    fixture_pause(MS(1));
  }
  /* Where the kernel keeps the waiters, ours are counted just before they enter it. */
  if (which == WAITING && strcmp(port_name(p), "iocp") == 0) fixture_pause(MS(20));
  return true;
}

bool fixture_counts(const atomic_uint *counter, unsigned value) {
  int64_t end = os_clock_now() + fixture_deadline();
  while (atomic_load(counter) < value) {
    if (os_clock_now() >= end) return false;
    fixture_pause(MS(1));
  }
  return true;
}

/* ---- packets ---- */

port_packet fixture_take(port *p, const char *file, int line) {
  port_packet packet = {0};
  _assert_int_equal((LargestIntegralType)port_get(p, &packet, 1, fixture_deadline()), 1, file, line);
  return packet;
}

void fixture_expect(port *p, void *key, port_op *op, uint32_t bytes, int err, const char *file, int line) {
  port_packet packet = fixture_take(p, file, line);
  _assert_int_equal((uintptr_t)packet.key, (uintptr_t)key, file, line);
  _assert_int_equal((uintptr_t)packet.op, (uintptr_t)op, file, line);
  _assert_int_equal((LargestIntegralType)packet.err, (LargestIntegralType)err, file, line);
  _assert_int_equal(packet.bytes, bytes, file, line);
}

void fixture_expect_silence(port *p, const char *file, int line) {
  port_packet packet = {0};
  int         result = port_get(p, &packet, 1, fixture_quiet());
  _assert_int_equal((LargestIntegralType)result, (LargestIntegralType)PORTICO_ETIMEDOUT, file, line);
  _assert_int_equal(fixture_stat_of(p, QUEUED), 0, file, line);
  _assert_int_equal(fixture_stat_of(p, PENDING), 0, file, line);
}
