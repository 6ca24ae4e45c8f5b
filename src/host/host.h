/* host.h - what a portico_host is made of.   Layer: host (private to it). */
#ifndef PORTICO_HOST_HOST_H
#define PORTICO_HOST_HOST_H
#include "vm/runtime.h"
#include "vm/vm.h"

/* Only ever upwards. Changed by the thread that calls open, load, start, wait and close. */
typedef enum host_state { HOST_OPEN, HOST_LOADED, HOST_STARTED, HOST_STOPPED } host_state;

struct portico_host {
  portico_config config; /* defaults filled in */
  logger         log;
  os_mutex       log_lock;
  port          *port;
  runtime       *rt;
  _Atomic int    state; /* host_state */
  char          *last_error; /* NULL = none */
  /* the script */
  char  *name, *text;
  size_t len;
  int    argc;
  char **argv;
  /* the workers */
  os_thread *workers;
  unsigned   running; /* threads started */
  unsigned   heeded;  /* interrupts that the thread in portico_wait or portico_step has acted upon */
  /* set by any thread, read by the one in portico_wait or portico_step */
  os_event         wake;
  port_op          word;        /* own_loop: tells a step that waits to look whether that is the end */
  _Atomic int      word_posted; /* it is under way */
  _Atomic unsigned interrupts;
  _Atomic int64_t  interrupt_grace_ms;
  _Atomic int      held;
};

/* Keeps words for portico_last_error and returns err. */
__attribute__((format(printf, 3, 4))) int host_fail(portico_host *h, int err, const char *format, ...);

/* Compiles the loaded script in v and leaves the function on its stack. errors: ESCRIPT (kept for last_error) */
int host_compile(portico_host *h, vm *v);

/* Keeps the message on top of v's stack for portico_last_error and pops it. result: ESCRIPT */
int host_fail_in_script(portico_host *h, vm *v);

/* Starts the worker threads. errors: ENOMEM, EAGAIN */
int host_start_workers(portico_host *h);

/* Looks what was asked for, and whether the end has come. True: it has, and the host is stopped. For the thread in
 * portico_wait or portico_step. */
bool host_ended(portico_host *h);

/* Ends the program if it runs, waits until nothing is alive, joins the workers. */
void host_finish(portico_host *h);

/* Frees what load has kept. */
void host_unload(portico_host *h);

/* A Lua module that comes with the program; see runtime_options. */
bool host_find_module(const char *name, const char **out_text, size_t *out_len);

#endif
