#include "cli/test.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/misuse.h"
#include "cli/tool.h"
#include "portico.h"

/* What a host runs; the work is done in lua/portico/testing.lua. */
static const char test_script[] = "require('portico.testing').main(...)";

static const struct {
  const char *name;
  const char *value; /* NULL = it takes none */
  const char *text;
} known[] = {
    {"output", "FORMAT", "tap, or junit for the XML that build servers read (tap)"},
    {"output-file", "FILE", "where the report goes; standard output then gets TAP (standard output)"},
    {"filter", "PATTERN", "run only tests whose full name matches this Lua pattern"},
    {"seed", "N", "seed of the simulated networks; sim.seeds runs only this one (1)"},
    {"list", NULL, "name the tests, run none"},
};
enum { KNOWN = sizeof known / sizeof known[0] };

static const char *option_name(size_t index) { return index < KNOWN ? known[index].name : NULL; }

static int test_help(void) {
  puts("usage: portico test [OPTIONS] PATH...\n"
       "Runs tests of handlers in a simulated network: no port is opened, and no time is waited for.\n"
       "PATH is a test file, or a folder: then all *_test.lua below it.\n"
       "\n"
       "Options, and what holds without them:");
  for (size_t i = 0; i < KNOWN; i++) {
    char        left[32];
    const char *value = known[i].value;
    snprintf(left, sizeof left, "--%s%s%s", known[i].name, value != NULL ? " " : "",
             value != NULL ? value : "");
    printf("  %-20s  %s\n", left, known[i].text);
  }
  puts(
      "\nExit codes: 0 all passed, 1 a test failed, 2 there was nothing to run, or the command line makes no "
      "sense.");
  return CLI_DONE;
}

static int unknown_option(const char *word) {
  char name[32];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
  const char *guess = misuse_guess(name + strspn(name, "-"), option_name);
  if (guess != NULL) return misuse("test: unknown option %s (did you mean --%s?)", name, guess);
  return misuse("test: unknown option %s (portico test --help lists them)", name);
}

static bool whole_number(const char *text) {
  size_t digits = strspn(text, "0123456789");
  return digits > 0 && digits <= 9 && text[digits] == '\0';
}

static int value_check(const char *name, const char *value) {
  if (strcmp(name, "output") == 0 && strcmp(value, "tap") != 0 && strcmp(value, "junit") != 0)
    return misuse("test: --output %s: no such format (tap or junit)", value);
  if (strcmp(name, "seed") == 0 && !whole_number(value))
    return misuse("test: --seed %s: not a whole number from 0 to 999999999", value);
  return CLI_DONE;
}

/* Index in `known` of the option that a word of len bytes names; KNOWN if none. */
static size_t option_find(const char *word, size_t len) {
  size_t k = 0;
  if (len < 2 || strncmp(word, "--", 2) != 0) return KNOWN;
  while (k < KNOWN && (strlen(known[k].name) != len - 2 || strncmp(known[k].name, word + 2, len - 2) != 0))
    k++;
  return k;
}

/* Reads the option at argv[*i] and the word behind it, if that is its value; moves *i behind them. */
static int option_read(words *w, int argc, char **argv, int *i) {
  const char *word = argv[(*i)++], *value = "";
  size_t      len = strcspn(word, "="), k = option_find(word, len);
  if (k == KNOWN) return unknown_option(word);
  if (known[k].value == NULL && word[len] == '=') return misuse("test: --%s takes no value", known[k].name);
  if (known[k].value != NULL) value = word[len] == '=' ? word + len + 1 : *i < argc ? argv[(*i)++] : NULL;
  if (value == NULL) {
    return misuse("test: --%s: needs a value: %s (%s)", known[k].name, known[k].value, known[k].text);
  }
  char before[32];
  snprintf(before, sizeof before, "--%s=", known[k].name);
  words_add(w, before, value);
  return value_check(known[k].name, value);
}

/* Reads all options, which may stand between paths and behind them; argv[0] to argv[*out_paths - 1] are the paths then.
 * result   CLI_DONE; CLI_MISUSED, which has been reported; -1: --help was among them */
static int options_read(words *w, int argc, char **argv, int *out_paths) {
  int  i = 0, paths = 0, result = CLI_DONE;
  bool options_end = false;
  while (result == CLI_DONE && i < argc) {
    bool option = !options_end && argv[i][0] == '-' && argv[i][1] != '\0';
    if (option && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) return -1;
    if (!option)
      argv[paths++] = argv[i++];
    else if (strcmp(argv[i], "--") == 0)
      options_end = true, i++;
    else
      result = option_read(w, argc, argv, &i);
  }
  *out_paths = paths;
  return result;
}

/* Adds the test files at argv[0] to argv[argc - 1]. */
static int find_tests(words *w, int argc, char **argv) {
  words_add(w, "", "--");
  for (int i = 0; i < argc; i++) {
    int found = portico_find_files(argv[i], "_test.lua", words_add_file, w);
    if (found == 0) return misuse("test: %s: no *_test.lua below this folder", argv[i]);
    if (found < 0) return misuse("test: cannot read %s: %s", argv[i], portico_error_text(found));
  }
  return CLI_DONE;
}

static int test_paths(words *w, int argc, char **argv) {
  if (argc == 0) return misuse("test: no path given (a folder, or a test file: portico test --help)");
  int exit_code = find_tests(w, argc, argv);
  if (exit_code != CLI_DONE) return exit_code;
  return tool_run("test", test_script, w);
}

int test_command(int argc, char **argv) {
  words w = {0}; /* "--name=value" for each option, "--", the files */
  int   paths = 0, exit_code = options_read(&w, argc, argv, &paths);
  if (exit_code < 0)
    exit_code = test_help();
  else if (exit_code == CLI_DONE)
    exit_code = test_paths(&w, paths, argv);
  words_free(&w);
  return exit_code;
}
