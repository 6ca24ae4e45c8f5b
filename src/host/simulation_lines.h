/* simulation_lines.h - lines of text that wait for a script to fetch them.   Layer: host. One thread. */
#ifndef PORTICO_HOST_SIMULATION_LINES_H
#define PORTICO_HOST_SIMULATION_LINES_H
#include "portico.h"

typedef struct simulation_line {
  struct simulation_line *next;
  portico_log_level       level;
  unsigned                vm;
  char                    text[];
} simulation_line;

/* Oldest first. Zeroed = empty. */
typedef struct simulation_lines {
  simulation_line *first, *last;
} simulation_lines;

/* Appends a copy; without memory it is lost. */
void simulation_lines_add(simulation_lines *l, portico_log_level level, unsigned vm, const char *text);

/* Takes the oldest off and frees it; empties the list. */
void simulation_lines_drop(simulation_lines *l);
void simulation_lines_clear(simulation_lines *l);

#endif
