/* runtime.h - the VMs of one host and what they share: port, log, the count of what is alive.   Layer: vm.
 *
 * Everything that could still produce a packet (a listener, the connections of a VM, a timer, a message on its way) is
 * counted in `live`; when the last one is gone the program is over and on_idle says so. Ending early is asking each of
 * them to end. */
#ifndef PORTICO_VM_RUNTIME_H
#define PORTICO_VM_RUNTIME_H
#include "base/log.h"
#include "os/thread.h"
#include "vm/strand.h"

typedef struct runtime runtime;
typedef struct vm      vm;
typedef struct server  server;
typedef struct recorder recorder;

/* What the host decides; fixed after runtime_open. */
typedef struct runtime_options {
  port     *port;
  logger   *log;
  unsigned  vms;
  size_t    memory_bytes; /* cap of each VM */
  int64_t   budget_ns;    /* processor time of one handler call; 0 = no limit, and nobody looks */
  int       budget_signal;
  const char *record_dir;     /* NULL = connections are not recorded; not used after runtime_open */
  /* A Lua module that comes with the program, or false. */
  bool (*find_module)(const char *name, const char **out_text, size_t *out_len);
  void (*on_idle)(void *arg); /* nothing is alive any more, or the end was asked for: look. threads: any */
  void *arg;
} runtime_options;

typedef enum runtime_state { RUNTIME_RUNNING, RUNTIME_DRAINING, RUNTIME_STOPPING } runtime_state;

/* What a core writes takes the whole line from the others, so what all VMs read is that far from what is written. */
enum { RUNTIME_LINE_BYTES = 64 };

struct runtime {
  runtime_options   options;
  vm              **vms;       /* fixed */
  struct watchdog  *watchdog;  /* fixed; NULL while the VMs are closed */
  recorder         *recorder;  /* fixed; NULL = connections are not recorded */
  _Atomic int       state; /* runtime_state, only ever upwards */
  _Atomic int       exit_code;
  unsigned char     apart[RUNTIME_LINE_BYTES];
  strand            control;   /* runs listeners that VMs share, and the drain */
  strand            resolving; /* runs name look-ups, one after the other */
  _Atomic size_t    live, listeners;
  _Atomic size_t    connected; /* VMs that have connections */
  os_mutex          opening; /* held while a server is opened: before every other lock */
  os_mutex          lock;    /* never across Lua or a callback; of this layer's only taken after opening */
  server           *servers, *servers_made; /* under lock: that listen; that are not freed yet */
  bool              started; /* under lock: servers accept as soon as they are there */
  completion        close_listeners, grace; /* of the drain, on control; the flags below guard their one post */
  _Atomic int       close_posted;
  _Atomic int64_t   grace_until_ns; /* INT64_MAX = no drain */
  bool              grace_running;  /* control only */
  unsigned          grace_step;     /* control only: 0 waiting for the end, 1 closed all, 2 aborted all */
};

/* Makes the VMs, empty. errors: ENOMEM, EAGAIN (no thread for the watchdog), those of recorder_open */
int runtime_open(const runtime_options *options, runtime **out_rt);

/* Frees all. Nothing may be alive, no worker left. */
void runtime_close(runtime *rt);

/* Servers accept from now on. Before any worker runs. */
void runtime_start(runtime *rt);

/* One more, one less that could produce a packet. */
void runtime_hold(runtime *rt);
void runtime_release(runtime *rt);

/* As runtime_hold, for who would not keep a program from its end: false, and nothing held, if nothing is alive. */
bool runtime_hold_living(runtime *rt);

/* One more, one less VM that has connections, held too; the last one gone ends a drain. */
void runtime_hold_connected(runtime *rt);
void runtime_release_connected(runtime *rt);

/* How many connections there are. */
size_t runtime_connections(const runtime *rt);

/* True once the end was asked for: nothing new may start. */
bool runtime_stopping(const runtime *rt);

/* True in a drain, too: nothing new may listen or be accepted. */
bool runtime_ending(const runtime *rt);

/* Closes the listeners, gives connections until then to end, closes them, and a second later aborts them.
 * threads  any */
void runtime_drain(runtime *rt, int64_t until_ns);

/* Ends everything now; the first exit code counts. threads: any */
void runtime_stop(runtime *rt, int exit_code);

/* Log of this runtime, for log_write. */
const logger *runtime_log(const runtime *rt);

#endif
