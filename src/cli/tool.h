/* tool.h - commands whose work is done in Lua: a host with one VM runs a module of lua/portico/.   Layer: cli. */
#ifndef PORTICO_CLI_TOOL_H
#define PORTICO_CLI_TOOL_H
#include <stdbool.h>

/* The words that the script gets. Zeroed = none. */
typedef struct words {
  char **word;
  int    count, room;
  bool   failed; /* out of memory; tool_run says so */
} words;

/* Adds one word: `before` and `text` in one. */
void words_add(words *w, const char *before, const char *text);

/* Adds a path; arg is the words. For portico_find_files. */
void words_add_file(const char *path, void *arg);

/* Frees them. */
void words_free(words *w);

/* Runs script with these words to its end; name is that of the command, for messages.
 * result   the program's exit code */
int tool_run(const char *name, const char *script, const words *w);

#endif
