/* simulation_lines.c - a list of copies. */
#include "host/simulation_lines.h"

#include <stdlib.h>
#include <string.h>

void simulation_lines_add(simulation_lines *l, portico_log_level level, unsigned vm, const char *text) {
  size_t           bytes = strlen(text) + 1;
  simulation_line *line = malloc(sizeof *line + bytes);
  if (line == NULL) return; /* uncovered: no memory just here */
  line->next = NULL;
  line->level = level;
  line->vm = vm;
  memcpy(line->text, text, bytes);
  if (l->last != NULL) l->last->next = line;
  else l->first = line;
  l->last = line;
}

void simulation_lines_drop(simulation_lines *l) {
  simulation_line *line = l->first;
  l->first = line->next;
  if (l->first == NULL) l->last = NULL;
  free(line);
}

void simulation_lines_clear(simulation_lines *l) {
  while (l->first != NULL) simulation_lines_drop(l);
}
