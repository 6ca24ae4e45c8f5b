#include "cli/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/log.h"
#include "cli/misuse.h"
#include "portico.h"

/* A recording may have 64 MiB, and is there a few times while it is compared. */
static const size_t tool_memory_bytes = (size_t)1 << 30;

void words_add(words *w, const char *before, const char *text) {
  if (w->count == w->room) {
    int    room = w->room == 0 ? 16 : w->room * 2;
    char **more = realloc(w->word, (size_t)room * sizeof *more);
    if (more == NULL) { /* uncovered: no test takes the memory of the program itself */
      w->failed = true;
      return;
    }
    w->word = more;
    w->room = room;
  }
  size_t size = strlen(before) + strlen(text) + 1;
  char  *word = malloc(size);
  if (word == NULL) { /* uncovered: no test takes the memory of the program itself */
    w->failed = true;
    return;
  }
  snprintf(word, size, "%s%s", before, text);
  w->word[w->count++] = word;
}

void words_add_file(const char *path, void *arg) { words_add(arg, "", path); }

void words_free(words *w) {
  for (int i = 0; i < w->count; i++) free(w->word[i]);
  free(w->word);
}

static int failed(const char *name, const char *what, const char *why) {
  fprintf(stderr, "portico: %s: %s: %s\n", name, what, why);
  return CLI_FAILED;
}

/* One VM and one worker: all is done in the main chunk, one thing after the other. What is simulated has its own. */
int tool_run(const char *name, const char *script, const words *w) {
  portico_config config = PORTICO_CONFIG_DEFAULT;
  config.vms = config.concurrency = config.workers = 1;
  config.memory_bytes = tool_memory_bytes;
  config.log_fn = log_text;
  const char *no_memory = portico_error_text(PORTICO_ENOMEM);
  if (w->failed) return failed(name, "cannot start", no_memory); /* uncovered: no memory for the words */
  portico_host *host = NULL;
  int           exit_code = CLI_DONE, err = portico_open(&config, &host);
  if (err < 0) return failed(name, "cannot start", portico_error_text(err));
  char chunk_name[64];
  snprintf(chunk_name, sizeof chunk_name, "portico.%s.lua", name); /* as our modules: see portico.testing.failure */
  err = portico_load_string(host, chunk_name, script, strlen(script), w->count, (const char *const *)w->word);
  if (err == 0) err = portico_start(host);            /* uncovered: no memory to compile one line */
  if (err == 0) err = portico_wait(host, &exit_code); /* uncovered: our scripts catch what fails in them */
  if (err < 0) exit_code = failed(name, "cannot go on", portico_last_error(host)); /* uncovered: as above */
  portico_close(host);
  return exit_code;
}
