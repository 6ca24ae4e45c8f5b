/* host.c - opening and closing a host, and asking it. */
#include "host/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "embedded_modules.h" /* made from lua/ by the build */
#include "host/simulation.h"
#include "os/clock.h"
#include "os/process.h"

enum { HOST_THREADS_MAX = 4096, HOST_VMS_MAX = 1024, HOST_MEMORY_MIB = 256, HOST_BUDGET_MS = 1000 };

const char *portico_version(void) {
  return PORTICO_VERSION;
}

void portico_stdio_binary(void) {
  os_stdio_binary();
}

void portico_stdio_open(void) {
  os_stdio_open();
}

size_t portico_stderr_offer(const void *data, size_t len) {
  return data == NULL ? 0 : os_stderr_offer(data, len);
}

void portico_return_memory(void) {
  os_memory_join_blocks();
}

bool host_find_module(const char *name, const char **out_text, size_t *out_len) {
  for (const embedded_file *f = embedded_modules; f->name != NULL; f++) {
    if (strcmp(f->name, name) != 0) continue;
    *out_text = f->text;
    *out_len = f->len;
    return true;
  }
  return false;
}

/* ---- errors ---- */

int host_fail(portico_host *h, int err, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = malloc((size_t)len + 1);
  if (text != NULL) {
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
  }
  free(h->last_error);
  h->last_error = text;
  return err;
}

const char *portico_last_error(const portico_host *h) {
  return h != NULL && h->last_error != NULL ? h->last_error : "";
}

/* ---- opening ---- */

static void host_lock_log(void *mutex) {
  os_mutex_lock(mutex);
}

static void host_unlock_log(void *mutex) {
  os_mutex_unlock(mutex);
}

/* Nothing is alive: whoever waits may look whether that is the end. */
static void host_on_idle(void *arg) {
  portico_host *h = arg;
  os_event_set(&h->wake);
  if (!h->config.own_loop || atomic_exchange(&h->word_posted, 1) != 0) return;
  CHECK(port_post_op(h->port, NULL, &h->word) == 0); /* the port is open as long as there is a runtime */
}

/* Fills in defaults. errors: EINVAL */
static int host_configure(portico_config *c) {
  if (c->concurrency > HOST_THREADS_MAX || c->workers > HOST_THREADS_MAX) return PORTICO_EINVAL;
  if (c->vms > HOST_VMS_MAX) return PORTICO_EINVAL;
  if (c->log_level > PORTICO_LOG_OFF || c->budget_signal < -1) return PORTICO_EINVAL;
  if (c->concurrency == 0) c->concurrency = c->own_loop ? 1 : os_processors();
  if (c->own_loop) c->workers = 0;
  else if (c->workers == 0) c->workers = 2 * c->concurrency;
  if (c->vms == 0) c->vms = c->concurrency;
  if (c->memory_bytes == 0) c->memory_bytes = (size_t)HOST_MEMORY_MIB << 20;
  if (c->budget_ms == 0) c->budget_ms = HOST_BUDGET_MS;
  return 0;
}

/* Modules of this layer. */
static int host_furnish(portico_host *h) {
  for (unsigned i = 0; i < h->config.vms; i++) {
    lua_State *L = h->rt->vms[i]->L;
    lua_pushcfunction(L, simulation_preload);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) { /* uncovered: no memory just here */
      runtime_close(h->rt);
      return PORTICO_ENOMEM;
    }
  }
  return 0;
}

static int host_open_runtime(portico_host *h) {
  runtime_options options = {
      .port = h->port,
      .log = &h->log,
      .vms = h->config.vms,
      .memory_bytes = h->config.memory_bytes,
      .budget_ns = h->config.own_loop ? 0 : (int64_t)h->config.budget_ms * OS_NS_PER_MS,
      .budget_signal = h->config.budget_signal,
      .record_dir = h->config.record_dir,
      .find_module = host_find_module,
      .on_idle = host_on_idle,
      .arg = h,
  };
  int err = runtime_open(&options, &h->rt);
  return err < 0 ? err : host_furnish(h);
}

static void host_init_log(portico_host *h) {
  os_mutex_init(&h->log_lock);
  h->log = (logger){
      .level = h->config.log_level,
      .fn = h->config.log_fn,
      .arg = h->config.log_arg,
      .clock = os_clock_unix_ns,
      .lock = host_lock_log,
      .unlock = host_unlock_log,
      .mutex = &h->log_lock,
  };
}

/* The port that was asked for; where the system refuses io_uring, the one that needs least of the system. */
static int host_open_port(portico_host *h) {
  char         why[PORT_WHY_BYTES] = "";
  port_options options = {.backend = h->config.backend,
                          .concurrency = h->config.concurrency,
                          .monitor = !h->config.own_loop,
                          .out_why = why};
  int  err = port_open(&options, &h->port);
  bool uring = options.backend != NULL && strcmp(options.backend, "uring") == 0;
  if (err == 0 || !uring || why[0] == '\0') return err;
  log_write(&h->log, PORTICO_LOG_INFO, 0, "io_uring is refused here (%s): using epoll instead", why);
  options.backend = "epoll";
  options.out_why = NULL;
  return port_open(&options, &h->port);
}

int portico_open(const portico_config *config, portico_host **out_host) {
  if (config == NULL || out_host == NULL) return PORTICO_EINVAL;
  portico_host *h = calloc(1, sizeof *h);
  if (h == NULL) return PORTICO_ENOMEM;
  h->config = *config;
  int err = host_configure(&h->config);
  if (err < 0) goto undo_mem;
  err = os_sockets_init();
  if (err < 0) goto undo_mem; /* uncovered: sockets of this system need nothing */
  err = os_event_init(&h->wake);
  if (err < 0) goto undo_sockets; /* uncovered: nor do events */
  host_init_log(h);
  err = host_open_port(h);
  if (err < 0) goto undo_log;
  err = host_open_runtime(h);
  if (err < 0) goto undo_port;
  h->config.backend = port_name(h->port);
  h->config.record_dir = NULL; /* as all that belongs to the caller */
  *out_host = h;
  return 0;
undo_port:
  port_close(h->port, NULL, NULL);
  port_unref(h->port);
undo_log:
  os_mutex_fini(&h->log_lock);
  os_event_fini(&h->wake);
undo_sockets:
  os_sockets_fini();
undo_mem:
  free(h);
  return err;
}

void portico_close(portico_host *h) {
  if (h == NULL) return;
  host_finish(h);
  runtime_close(h->rt);
  port_stats left;
  port_get_stats(h->port, &left);
  CHECK(left.pending == 0); /* nothing is alive, so what was started has ended, and only word of that can be queued */
  CHECK(port_close(h->port, NULL, NULL) == (size_t)atomic_load(&h->word_posted));
  port_packet none;
  port_get(h->port, &none, 1, 0); /* this thread may have taken packets, see worker_step: now it leaves the port */
  port_unref(h->port);
  host_unload(h);
  os_mutex_fini(&h->log_lock);
  os_event_fini(&h->wake);
  os_sockets_fini();
  free(h->last_error);
  free(h);
}

/* ---- asking ---- */

void portico_get_info(portico_host *h, portico_info *out_info) {
  *out_info = (portico_info){
      .backend = h->config.backend,
      .concurrency = h->config.concurrency,
      .workers = h->config.workers,
      .vms = h->config.vms,
      .connections = runtime_connections(h->rt),
      .listeners = atomic_load(&h->rt->listeners),
  };
}
