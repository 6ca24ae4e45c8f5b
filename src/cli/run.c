#include "cli/run.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/log.h"
#include "cli/misuse.h"
#include "cli/options.h"
#include "cli/script.h"
#include "portico.h"

/* What a signal handler needs: it may run on any thread. */
static _Atomic(portico_host *) interrupt_host;
static atomic_int              interrupt_count;
static double                  interrupt_grace_s; /* fixed before the handler is installed */

/* The first signal drains, the second stops, a third does what it would do without us. */
static void on_interrupt(int number) {
  portico_host *host = atomic_load(&interrupt_host);
  int           count = atomic_fetch_add(&interrupt_count, 1) + 1;
  signal(number, count < 2 ? on_interrupt : SIG_DFL); /* some systems forget a handler when they call it */
  if (host != NULL) portico_interrupt(host, interrupt_grace_s); /* uncovered: race: a signal when all is over */
}

/* Sets the handler of every signal that asks a program to end; host == NULL: they are ignored from now on. */
static void interrupts_go_to(portico_host *host, double grace_s) {
  void (*handler)(int) = host != NULL ? on_interrupt : SIG_IGN;
  interrupt_grace_s = grace_s;
  atomic_store(&interrupt_host, host);
  signal(SIGINT, handler);
  signal(SIGTERM, handler);
#ifdef SIGBREAK /* Windows: Ctrl-Break */
  signal(SIGBREAK, handler);
#endif
}

/* Says why the program ends before its time: "portico: TEXT", or a log record where a program reads the log. */
static int run_failed(const options *o, const char *format, ...) {
  char    text[8192];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (o->log_json) {
    portico_log_record record = {
        .level = PORTICO_LOG_ERROR, .unix_ns = time(NULL) * INT64_C(1000000000), .text = text};
    log_json(&record, NULL);
  } else {
    fprintf(stderr, "portico: %s\n", text);
  }
  return CLI_FAILED;
}

static int open_failed(const options *o, int err) {
  if (err == PORTICO_ENOTSUP && o->config.backend != NULL) { /* uncovered: epoll is everywhere */
    return misuse("run: --backend %s: no such completion port on this system (try --backend auto)",
                  o->config.backend);
  }
  bool ours = err == PORTICO_ENOMEM || err == PORTICO_EMFILE || err == PORTICO_ENOTSUP; /* uncovered: memory */
  if (o->config.record_dir != NULL && !ours) {
    return misuse("run: --record %s: cannot write there: %s", o->config.record_dir, portico_error_text(err));
  }
  return run_failed(o, "cannot start: %s", portico_error_text(err));
}

static int load_failed(const options *o, const portico_host *host, int err, const char *script) {
  const char *why = portico_last_error(host);
  if (err == PORTICO_ESCRIPT) return run_failed(o, "cannot compile: %s", why);
  const char *guess = err == PORTICO_ENOFILE ? misuse_guess(script, script_default_name) : NULL;
  if (guess != NULL) return run_failed(o, "%s (did you mean %s?)", why, guess);
  return run_failed(o, "%s%s", why,
                    err == PORTICO_ENOFILE ? " (portico run --help names the default scripts)" : "");
}

/* Runs a loaded script to its end. result: the exit code */
static int serve(const options *o, portico_host *host) {
  int exit_code = CLI_DONE;
  interrupts_go_to(host, o->grace_s);
  int err = portico_start(host);
  if (err == 0) err = portico_wait(host, &exit_code);
  if (err < 0 && err != PORTICO_EBUSY) { /* uncovered: EBUSY is tested, but the _Exit below leaves no figures */
    exit_code = run_failed(o, "the script failed: %s", portico_last_error(host));
  }
  interrupts_go_to(NULL, 0);
  /* Interrupted twice, and a handler hangs: portico_close would wait for it. So would flushing stdout, if what it hangs
   * in is a print that nobody reads. */
  if (err == PORTICO_EBUSY) _Exit(exit_code); /* uncovered: it is tested, but leaves no figures */
  return exit_code;
}

static int run_help(void) {
  fputs(
      "usage: portico run [OPTIONS] SCRIPT [ARGS...]\n"
      "Runs a Lua script until it has nothing left to do. SCRIPT is a path, or the name of a default script:",
      stdout);
  for (size_t i = 0; script_default_name(i) != NULL; i++)
    printf("%s %s", i > 0 ? "," : "", script_default_name(i));
  fputs(".\nARGS are the script's own: portico run echo --help.\n\nOptions, and what holds without them:\n",
        stdout);
  options_print(stdout);
  return CLI_DONE;
}

int run_command(int argc, char **argv) {
  options o = {.config = PORTICO_CONFIG_DEFAULT, .grace_s = 5};
  int     used = options_parse(argc, argv, &o);
  if (used < 0) return CLI_MISUSED;
  if (o.help) return run_help();
  if (used == argc) return misuse("run: no script given (a path, or a name: portico run --help lists them)");
  o.config.log_fn = o.log_json ? log_json : log_text;

  portico_host *host = NULL;
  int           err = portico_open(&o.config, &host);
  if (err < 0) return open_failed(&o, err);
  const char *script = argv[used];
  err = script_load(host, script, argc - used - 1, argv + used + 1);
  int exit_code = err < 0 ? load_failed(&o, host, err, script) : serve(&o, host);
  portico_close(host);
  return exit_code;
}

int check_command(int argc, char **argv) {
  options o = {.config = PORTICO_CONFIG_DEFAULT};
  if (argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
    puts("usage: portico check SCRIPT\nCompiles a script without running it. Exit code 0: fine; 1: not, and "
         "why.");
    return CLI_DONE;
  }
  if (argc > 0 && argv[0][0] == '-' && argv[0][1] != '\0') {
    return misuse("check: unknown option %s (it has none)", argv[0]);
  }
  if (argc != 1) return misuse("check: give one script (portico check SCRIPT)");
  portico_host *host = NULL;
  int           err = portico_open(&o.config, &host);
  if (err < 0) return open_failed(&o, err);
  err = script_load(host, argv[0], 0, NULL);
  int exit_code = err < 0 ? load_failed(&o, host, err, argv[0]) : CLI_DONE;
  portico_close(host);
  return exit_code;
}
