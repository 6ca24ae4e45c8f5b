/* portico.h - the only public header: a Lua-scripted network server that you can put into your own program.
 *
 *   portico_config config = PORTICO_CONFIG_DEFAULT;
 *   portico_host *host = NULL;
 *   int err = portico_open(&config, &host);
 *   if (err == 0) err = portico_load_file(host, "echo.lua", argc, argv);
 *   if (err == 0) err = portico_start(host);
 *   if (err == 0) err = portico_wait(host, &exit_code);
 *   if (err < 0) fprintf(stderr, "%s\n", portico_last_error(host));
 *   portico_close(host);
 *
 * Results: >= 0 is success, < 0 one of the codes below; outputs are written on success only.
 * The library keeps no globals (several hosts may live in one process), never exits, never prints, and installs
 * no handler for a signal that a program could want: see budget_ms for the one real-time signal it may claim. */
#ifndef PORTICO_H
#define PORTICO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PORTICO_VERSION "0.1.0"

/* Every error code, its value and its words. The name (without PORTICO_) is what Lua gets as the third result. */
#define PORTICO_ERRORS(X)                                                                                            \
  X(EINVAL, -1, "invalid argument")                                                                                  \
  X(ENOMEM, -2, "out of memory")                                                                                     \
  X(ENOBUFS, -3, "the system is out of buffers")                                                                     \
  X(EMFILE, -4, "out of file descriptors (raise the limit, e.g. ulimit -n)")                                         \
  X(ECLOSED, -5, "already closed")                                                                                   \
  X(ECANCELED, -6, "cancelled")                                                                                      \
  X(ETIMEDOUT, -7, "timed out")                                                                                      \
  X(ENOTFOUND, -8, "not found")                                                                                      \
  X(EAGAIN, -9, "nothing to do right now")                                                                           \
  X(EADDRINUSE, -10, "address already in use")                                                                       \
  X(EADDRNOTAVAIL, -11, "address not available on this machine")                                                     \
  X(EACCES, -12, "permission denied")                                                                                \
  X(EAFNOSUPPORT, -13, "address family not supported on this machine")                                               \
  X(ECONNREFUSED, -14, "connection refused")                                                                         \
  X(ECONNRESET, -15, "connection reset by the peer")                                                                 \
  X(ECONNABORTED, -16, "connection aborted")                                                                         \
  X(EHOSTUNREACH, -17, "host unreachable")                                                                           \
  X(ENETUNREACH, -18, "network unreachable")                                                                         \
  X(ENOTCONN, -19, "not connected")                                                                                  \
  X(EISCONN, -20, "already connected")                                                                               \
  X(ESHUTDOWN, -21, "this direction is already shut down")                                                           \
  X(EPIPE, -22, "the peer reads no more")                                                                            \
  X(EMSGSIZE, -23, "message too long")                                                                               \
  X(ENAME, -24, "name not known")                                                                                    \
  X(ENOTSUP, -25, "not supported here")                                                                              \
  X(EIO, -26, "input/output error")                                                                                  \
  X(EBUSY, -27, "busy")                                                                                              \
  X(ESCRIPT, -28, "error in the script")                                                                             \
  X(ELIMIT, -29, "limit exceeded")                                                                                   \
  X(ENOFILE, -30, "no such file")                                                                                    \
  X(EUNKNOWN, -31, "unexpected error of the operating system")                                                         \
  X(EEXIST, -32, "there is such a file already")                                                                       \
  X(EISDIR, -33, "this is a folder, not a file")                                                                       \
  X(ENOSPC, -34, "no space left on the device")                                                                        \
  X(EROFS, -35, "the file system is read-only")

enum {
#define PORTICO_ERROR_ENUM(name, value, text) PORTICO_##name = value,
  PORTICO_ERRORS(PORTICO_ERROR_ENUM)
#undef PORTICO_ERROR_ENUM
};

typedef struct portico_host portico_host;

typedef enum portico_log_level {
  PORTICO_LOG_DEBUG,
  PORTICO_LOG_INFO,
  PORTICO_LOG_WARN,
  PORTICO_LOG_ERROR,
  PORTICO_LOG_OFF
} portico_log_level;

/* One log message. text has no trailing new line and may hold several lines (a traceback). */
typedef struct portico_log_record {
  portico_log_level level;
  int64_t           unix_ns; /* wall clock */
  const char       *text;    /* valid during the call only */
  unsigned          vm;      /* 1-based; 0 = not from a VM */
} portico_log_record;

/* Receives log records. Called from any thread, one call at a time per host: while it waits, so do all that have
 * something to log. It may not call back into the host. */
typedef void (*portico_log_fn)(const portico_log_record *record, void *arg);

/* What a host is made of. Start from PORTICO_CONFIG_DEFAULT; 0 means "the default" wherever 0 makes no sense. */
typedef struct portico_config {
  const char       *backend;      /* "auto", "uring", "epoll" (Linux), "iocp" (Windows); NULL = "auto". Where the
                                     kernel, seccomp or a limit refuses io_uring, epoll serves and the log says why */
  unsigned          concurrency;  /* workers that may run at once; 0 = the processors this process may use */
  unsigned          workers;      /* threads; 0 = 2 x concurrency, for a worker may block */
  unsigned          vms;          /* Lua states; 0 = concurrency */
  size_t            memory_bytes; /* cap per VM; 0 = 256 MiB */
  unsigned          budget_ms;    /* processor time one handler call may take; 0 = 1000. On POSIX systems the call is
                                     interrupted with the signal below, claimed when a budget is first overrun. */
  int               budget_signal; /* 0 = SIGRTMAX - 3; -1 = claim none (an overrun is then only logged) */
  bool              own_loop;      /* no threads: the caller drives the host, see portico_step. Nothing watches handlers
                                      then: they have no time budget, and garbage is not collected in quiet moments.
                                      concurrency is 1 unless given, so vms is, too; workers is 0 */
  const char       *record_dir;    /* NULL = none; else each connection is recorded into a file in this folder, which
                                      is made if only it is missing. src/host/README.md tells what they hold: all
                                      that connections carry, for nobody but this user to read (on Windows, for whom
                                      the folder is open). A recording that fails harms no connection; it is logged */
  portico_log_level log_level;     /* records below it are not made */
  portico_log_fn    log_fn;        /* NULL = nobody listens */
  void             *log_arg;
} portico_config;

#define PORTICO_CONFIG_DEFAULT {.log_level = PORTICO_LOG_INFO}

/* The version of the library that runs, as "major.minor.patch". Static storage. */
const char *portico_version(void);

/* Words for an error code, without a full stop; never NULL. Static storage. */
const char *portico_error_text(int err);

/* The stable name of an error code, such as "ECONNRESET"; never NULL. Static storage. */
const char *portico_error_name(int err);

/* Makes a host: port, VMs (empty), no threads yet. config may go after the call, the strings in it too.
 * errors   EINVAL (a number out of range), ENOTSUP (no such backend here), ENOMEM, EMFILE; of record_dir: ENOFILE (nor
 *          the folder around it), EEXIST (it is a file), EACCES, EROFS, ENOSPC, EIO
 * owns     *out_host is yours until portico_close */
int portico_open(const portico_config *config, portico_host **out_host);

/* Names the script: it is compiled now and run in every VM by portico_start. args become the script's "..." and
 * the global table arg (arg[0] is the path). Exactly one load per host, before start.
 * errors   ENOFILE, EACCES, ESCRIPT (syntax; bytecode is refused), EBUSY (already loaded); portico_last_error says
 *          which file and line */
int portico_load_file(portico_host *host, const char *path, int argc, const char *const *argv);

/* As portico_load_file, from memory: name is what messages call it; text[0..len) is copied. */
int portico_load_string(portico_host *host, const char *name, const char *text, size_t len, int argc,
                        const char *const *argv);

/* Runs the script's main chunk in the first VM, then in the others if it registered a listener or subscription,
 * then starts the workers, unless the host has own_loop. Once only.
 * errors   ESCRIPT (the chunk raised: portico_last_error has file:line and traceback), EINVAL (nothing loaded),
 *          ENOMEM, ELIMIT (no more threads) */
int portico_start(portico_host *host);

/* Runs what is due in a host with own_loop, on the calling thread; if nothing is, waits for it, timeout_ns at most
 * (0 = not at all, < 0 = as long as it takes). It returns after each piece of work, so that a loop of the caller's may
 * do something of its own in between; handlers run in here and nowhere else. An interrupt is heard when a step begins.
 * result   1 something ran, 0 nothing came in time
 * errors   ECLOSED (the program is over: portico_wait has its exit code and returns at once); EINVAL (not started, or
 *          without own_loop); ENOMEM
 * threads  the one that started the host, and no other: it closes the host, too. Not from a handler of this host */
int portico_step(portico_host *host, int64_t timeout_ns);

/* Waits until the program has ended: nothing is left that could produce a packet, portico.stop, portico_stop, or a
 * drain is over. *out_exit_code (may be NULL) is what the script gave portico.stop, else 0. It leaves the host
 * stopped: only portico_close may follow. With own_loop it drives the host to its end.
 * errors   EINVAL (not started); EBUSY (after the second portico_interrupt a handler hangs in a C function for more
 *          than a second: portico_close would wait for it, so a program may rather exit) */
int portico_wait(portico_host *host, int *out_exit_code);

/* Keeps portico_wait from ending by itself while the embedding program still means to post. hold(false) undoes it, and
 * so does every way of stopping.
 * errors   EINVAL, ECLOSED (the program is stopping, or has stopped)
 * threads  any */
int portico_hold(portico_host *host, bool hold);

/* Hands bytes to every VM whose script subscribed to topic (portico.subscribe), in order, each exactly once.
 * owns     topic (up to 255 bytes) and data are copied
 * errors   EINVAL, ENOMEM, ECLOSED (not started, or already stopped)
 * threads  any */
int portico_post(portico_host *host, const char *topic, const void *data, size_t len);

/* Closes the listeners now and gives the open connections `seconds` to end; what is left then is closed (queued
 * bytes still leave), and a second later aborted. Does not wait: portico_wait returns when it is over.
 * threads  any. A second call shortens the time, never lengthens it. */
int portico_drain(portico_host *host, double seconds);

/* Ends everything at once: connections are aborted, portico_wait returns with exit_code.
 * threads  any */
int portico_stop(portico_host *host, int exit_code);

/* For signal handlers: the first call asks for portico_drain(grace_seconds), the second for portico_stop(0).
 * threads  any, and async-signal-safe. The work is done by the thread in portico_wait
 *          or portico_step. */
void portico_interrupt(portico_host *host, double grace_seconds);

/* Stops if need be, joins the threads, frees all. host may be NULL. Not from a handler or the log function. */
void portico_close(portico_host *host);

/* What went wrong last on this host, in words, one line or a traceback; "" if nothing did. Valid until the next
 * call on the host. host may be NULL (then it explains the last failed portico_open as best it can: ""). */
const char *portico_last_error(const portico_host *host);

/* What the host is made of, as decided at open. */
typedef struct portico_info {
  const char *backend;
  unsigned    concurrency, workers, vms;
  size_t      connections, listeners; /* open now */
} portico_info;

/* Reads the host's shape and counts. threads: any. */
void portico_get_info(portico_host *host, portico_info *out_info);

/* Makes stdin and stdout of the process carry bytes unchanged (Windows would translate line ends). For programs
 * whose scripts move data through them; does nothing elsewhere. */
void portico_stdio_binary(void);

/* Opens the null device in place of standard input, output and error as far as they are closed: else the next socket
 * would be taken for one of them. Reading and writing them fails as before. The first thing in main. */
void portico_stdio_open(void);

/* Writes to standard error what goes without waiting. For log functions: a reader who is behind holds up no worker.
 * result   bytes written, fewer than len if the reader is behind or has gone, or the disk is full
 * threads  any. On Windows it may wait. A reader who has gone may mean SIGPIPE, which is the program's to handle. */
size_t portico_stderr_offer(const void *data, size_t len);

/* Has the C library of the process give more of what is freed back to the system, so that a server is small again after
 * a busy hour: for programs that are nothing but a server. Sets M_MXFAST of glibc; does nothing elsewhere. Before the
 * first portico_open. */
void portico_return_memory(void);

/* Calls on_file for each file below a folder whose name ends in `suffix` ("" = every one), in the order of their paths.
 * Names that begin with a dot, and links to folders, are passed over; the parts of a path are joined by "/". If path is
 * a file, it is the only one, whatever its name. Blocks.
 * result   how many there were
 * errors   EINVAL, ENOFILE, EACCES, EMFILE, EIO, ENOMEM: on_file has not been called then
 * owns     the path given to on_file is valid during the call only */
int portico_find_files(const char *path, const char *suffix, void (*on_file)(const char *path, void *arg), void *arg);

#ifdef __cplusplus
}
#endif
#endif
