#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/misuse.h"

typedef enum option_kind {
  OPTION_COUNT,
  OPTION_MIB,
  OPTION_SECONDS,
  OPTION_LEVEL,
  OPTION_FORMAT,
  OPTION_WORD
} option_kind;

typedef struct option {
  const char *name;
  option_kind kind;
  size_t      offset; /* of the field in `options` */
  unsigned    min, max;
  const char *value;
  const char *text;
} option;

static const option known[] = {
    {"workers", OPTION_COUNT, offsetof(options, config.workers), 1, 1024, "N",
     "threads (twice the concurrency value, for a worker may block)"},
    {"concurrency", OPTION_COUNT, offsetof(options, config.concurrency), 1, 1024, "N",
     "workers that may run at once (the number of processors)"},
    {"vms", OPTION_COUNT, offsetof(options, config.vms), 1, 1024, "N",
     "Lua states that run the script (the concurrency value)"},
    {"backend", OPTION_WORD, offsetof(options, config.backend), 0, 0, "NAME",
     "completion port to use: auto, uring or epoll (Linux), iocp (Windows) (auto)"},
    {"memory", OPTION_MIB, offsetof(options, config.memory_bytes), 1, 1048576, "MIB",
     "memory that one Lua state may use (256)"},
    {"budget", OPTION_COUNT, offsetof(options, config.budget_ms), 1, 3600000, "MS",
     "processor time that one call of a handler may take (1000)"},
    {"grace", OPTION_SECONDS, offsetof(options, grace_s), 0, 86400, "SECONDS",
     "time that connections get to end after the first Ctrl-C or SIGTERM (5)"},
    {"record", OPTION_WORD, offsetof(options, config.record_dir), 0, 0, "DIR",
     "record each connection into a file there, for portico replay (off)"},
    {"log-level", OPTION_LEVEL, offsetof(options, config.log_level), 0, 0, "LEVEL",
     "least level to log: debug, info, warn, error or off (info)"},
    {"log-format", OPTION_FORMAT, offsetof(options, log_json), 0, 0, "FORMAT",
     "text, or json for one object a line (text)"},
};
enum { KNOWN = sizeof known / sizeof known[0] };

static const char *option_name(size_t index) { return index < KNOWN ? known[index].name : NULL; }

void options_print(FILE *out) {
  for (size_t i = 0; i < KNOWN; i++) {
    char left[32];
    snprintf(left, sizeof left, "--%s %s", known[i].name, known[i].value);
    fprintf(out, "  %-20s %s\n", left, known[i].text);
  }
}

/* The option that a word such as "--vms=4" names; NULL if there is none. */
static const option *option_find(const char *word, size_t len) {
  for (size_t i = 0; i < KNOWN; i++)
    if (strlen(known[i].name) == len && strncmp(known[i].name, word, len) == 0) return &known[i];
  return NULL;
}

static int word_index(const char *word, const char *const *words) {
  for (int i = 0; words[i] != NULL; i++)
    if (strcmp(words[i], word) == 0) return i;
  return -1;
}

static int not_a_number(const option *o, const char *kind, const char *text) {
  misuse("run: --%s %s: not %s from %u to %u (portico run --help)", o->name, text, kind, o->min, o->max);
  return -1;
}

static int read_whole(const option *o, const char *text, unsigned *out) {
  char *end = NULL;
  errno = 0;
  unsigned long value = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;
  if (end == NULL || *end != '\0' || errno != 0 || value < o->min || value > o->max)
    return not_a_number(o, "a whole number", text);
  *out = (unsigned)value;
  return 0;
}

static int read_seconds(const option *o, const char *text, double *out) {
  char  *end = NULL;
  double value =
      isdigit((unsigned char)*text) && text[strspn(text, "0123456789.")] == '\0' ? strtod(text, &end) : 0;
  if (end == NULL || *end != '\0' || value > o->max) /* they begin at 0 */
    return not_a_number(o, "a number", text);
  *out = value;
  return 0;
}

static int read_choice(const option *o, const char *text, const char *const *words, int *out) {
  int index = word_index(text, words);
  if (index < 0) {
    misuse("run: --%s %s: no such %s (%s)", o->name, text, o->kind == OPTION_LEVEL ? "level" : "format",
           o->text);
    return -1;
  }
  *out = index;
  return 0;
}

static int option_set(const option *o, const char *text, options *out) {
  static const char *const levels[] = {"debug", "info", "warn",
                                       "error", "off",  NULL}; /* as in portico_log_level */
  static const char *const formats[] = {"text", "json", NULL};
  void                    *field = (char *)out + o->offset;
  unsigned                 count = 0;
  int                      index = 0;
  switch (o->kind) {
  case OPTION_COUNT: return read_whole(o, text, field);
  case OPTION_MIB:
    if (read_whole(o, text, &count) < 0) return -1;
    *(size_t *)field = (size_t)count << 20;
    return 0;
  case OPTION_SECONDS: return read_seconds(o, text, field);
  case OPTION_LEVEL:
    if (read_choice(o, text, levels, &index) < 0) return -1;
    *(portico_log_level *)field = (portico_log_level)index;
    return 0;
  case OPTION_FORMAT:
    if (read_choice(o, text, formats, &index) < 0) return -1;
    *(bool *)field = index == 1;
    return 0;
  default: *(const char **)field = text; return 0;
  }
}

static int unknown_option(const char *word) {
  char name[32];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
  const char *guess = misuse_guess(name + strspn(name, "-"), option_name);
  if (guess != NULL)
    misuse("run: unknown option %s (did you mean --%s?)", name, guess);
  else
    misuse("run: unknown option %s (portico run --help lists them; options of the script go after its name)",
           name);
  return -1;
}

int options_parse(int argc, char **argv, options *out) {
  int i = 0;
  while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
    const char *word = argv[i++];
    if (strcmp(word, "--") == 0) return i;
    out->help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    if (out->help) return i;
    size_t        len = strcspn(word, "=");
    const option *o = strncmp(word, "--", 2) == 0 ? option_find(word + 2, len - 2) : NULL;
    if (o == NULL) return unknown_option(word);
    const char *value = word[len] == '=' ? word + len + 1 : i < argc ? argv[i++] : NULL;
    if (value == NULL) {
      misuse("run: --%s: needs a value: %s (%s)", o->name, o->value, o->text);
      return -1;
    }
    if (option_set(o, value, out) < 0) return -1;
  }
  return i;
}
