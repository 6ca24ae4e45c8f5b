/* The `portico` program: an embedder like any other. It uses portico.h and nothing else of the library. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/misuse.h"
#include "cli/replay.h"
#include "cli/run.h"
#include "cli/test.h"
#include "portico.h"

static int help_command(int argc, char **argv) {
  (void)argc, (void)argv;
  puts("usage: portico COMMAND [ARGS...]\n"
       "An embeddable, Lua-scripted network server.\n"
       "\n"
       "  run SCRIPT [ARGS...]   run a script: a path, or the name of a default script (portico run --help)\n"
       "  check SCRIPT           compile a script without running it\n"
       "  test PATH...           run tests of handlers in a simulated network (portico test --help)\n"
       "  replay SCRIPT FILE...  feed a script with recorded connections, and compare (portico replay --help)\n"
       "  --help                 this page\n"
       "  --version              the version of this program\n"
       "\n"
       "Exit codes: 0 done, 1 the script or the system failed, 2 the command line makes no sense.\n"
       "Ctrl-C or SIGTERM lets connections end (--grace), a second one stops at once.\n"
       "Try: portico run print    and in another terminal: portico run send");
  return CLI_DONE;
}

static int version_command(int argc, char **argv) {
  (void)argc, (void)argv;
  printf("portico %s\n", portico_version());
  return CLI_DONE;
}

static const struct {
  const char *name;
  int (*command)(int argc, char **argv);
} commands[] = {
    {"run", run_command},
    {"check", check_command},
    {"test", test_command},
    {"replay", replay_command},
    {"--help", help_command},
    {"--version", version_command},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const char *command_name(size_t index) { return index < COMMANDS ? commands[index].name : NULL; }

/* An exit code that says "done" is only true if what was printed has arrived. */
static int printed(int exit_code) {
  if (exit_code == CLI_DONE && (fflush(stdout) != 0 || ferror(stdout))) {
    fputs("portico: cannot write: standard output (is the disk full?)\n", stderr);
    return CLI_FAILED;
  }
  return exit_code;
}

#ifdef SIGPIPE
/* A write to a pipe that nobody reads fails, instead of ending all connections. Not SIG_IGN: what a script starts by
 * os.execute or io.popen would inherit that. */
static void on_broken_pipe(int number) { (void)number; }
#endif

int main(int argc, char **argv) {
  portico_stdio_open();
  portico_stdio_binary();
#ifdef SIGPIPE
  signal(SIGPIPE, on_broken_pipe);
#endif
  portico_return_memory();
  setvbuf(stderr, NULL, _IONBF, 0); /* Wine's C library would keep what a script writes there */
  if (argc < 2) return misuse("no command given (portico --help)");
  const char *word = strcmp(argv[1], "-h") == 0 ? "--help" : argv[1];
  for (size_t i = 0; i < COMMANDS; i++)
    if (strcmp(commands[i].name, word) == 0) return printed(commands[i].command(argc - 2, argv + 2));
  const char *guess = misuse_guess(word, command_name);
  if (guess != NULL) return misuse("unknown command %s (did you mean %s?)", word, guess);
  return misuse("unknown command %s (portico --help lists them; a script is run by: portico run %s)", word,
                word);
}
