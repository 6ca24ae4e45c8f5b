#include "cli/replay.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/misuse.h"
#include "cli/script.h"
#include "cli/tool.h"
#include "portico.h"

/* What a host runs; the work is done in lua/portico/replay.lua. */
static const char replay_script[] = "require('portico.replay').main(...)";

static int replay_help(void) {
  puts("usage: portico replay [--together] SCRIPT FILE... [-- ARGS...]\n"
       "Feeds a script with what recorded connections have received (portico run --record), in a simulated\n"
       "network and at the same times, and compares what it sends. No port is opened, no time is waited for.\n"
       "SCRIPT is a path, or the name of a default script; ARGS are its own. FILE is a recording, or a folder: then\n"
       "all *.portico below it.\n"
       "\n"
       "Options:\n"
       "  --together  all connections in one network, as they were; without it each one has a fresh script\n"
       "\n"
       "Exit codes: 0 all bytes are as recorded, 1 some differ or the script fails, 2 a file is no recording,\n"
       "there is nothing to replay, or the command line makes no sense.");
  return CLI_DONE;
}

static const char *option_name(size_t index) {
  static const char *const names[] = {"together", "help"};
  return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

static int unknown_option(const char *word) {
  char name[32];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
  const char *guess = misuse_guess(name + strspn(name, "-"), option_name);
  if (guess != NULL) return misuse("replay: unknown option %s (did you mean --%s?)", name, guess);
  return misuse("replay: unknown option %s (portico replay --help; options of the script go behind --)", name);
}

/* What the command line says. */
typedef struct replay_line {
  bool   help, together;
  char **plain; /* the script, the files */
  int    plain_count;
  char **args; /* of the script */
  int    arg_count;
} replay_line;

/* Reads all words; what is plain is moved to the front of argv.
 * result   CLI_DONE; CLI_MISUSED, which has been reported */
static int line_read(replay_line *l, int argc, char **argv) {
  *l = (replay_line){.plain = argv};
  for (int i = 0; i < argc; i++) {
    bool option = argv[i][0] == '-' && argv[i][1] != '\0';
    if (strcmp(argv[i], "--") == 0) {
      l->args = argv + i + 1;
      l->arg_count = argc - i - 1;
      break;
    }
    if (!option)
      l->plain[l->plain_count++] = argv[i];
    else if (strcmp(argv[i], "--together") == 0)
      l->together = true;
    else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
      l->help = true;
    else
      return unknown_option(argv[i]);
  }
  return CLI_DONE;
}

/* Adds the recordings at a path. */
static int find_recordings(words *w, const char *path) {
  int found = portico_find_files(path, ".portico", words_add_file, w);
  if (found == 0) return misuse("replay: %s: no *.portico below this folder", path);
  if (found < 0) return misuse("replay: cannot read %s: %s", path, portico_error_text(found));
  return CLI_DONE;
}

static int replay_files(words *w, const replay_line *l) {
  if (l->plain_count == 0) return misuse("replay: no script given (portico replay SCRIPT FILE...)");
  if (l->plain_count == 1) return misuse("replay: no recording given (a file, or a folder: portico replay --help)");
  const char *text = script_default_text(l->plain[0]);
  words_add(w, "--script=", l->plain[0]);
  if (text != NULL) words_add(w, "--text=", text);
  if (l->together) words_add(w, "--together=", "yes");
  words_add(w, "", "--");
  for (int i = 1; i < l->plain_count; i++) {
    int exit_code = find_recordings(w, l->plain[i]);
    if (exit_code != CLI_DONE) return exit_code;
  }
  words_add(w, "", "--");
  for (int i = 0; i < l->arg_count; i++) words_add(w, "", l->args[i]);
  return tool_run("replay", replay_script, w);
}

int replay_command(int argc, char **argv) {
  words       w = {0};
  replay_line l;
  int         exit_code = line_read(&l, argc, argv);
  if (exit_code != CLI_DONE) return exit_code;
  exit_code = l.help ? replay_help() : replay_files(&w, &l);
  words_free(&w);
  return exit_code;
}
