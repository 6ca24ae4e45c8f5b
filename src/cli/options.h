/* options.h - what stands between "portico run" and the script's name.   Layer: cli. */
#ifndef PORTICO_CLI_OPTIONS_H
#define PORTICO_CLI_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "portico.h"

typedef struct options {
  portico_config config;
  double         grace_s; /* time that connections get to end after the first Ctrl-C */
  bool           log_json;
  bool           help; /* --help or -h was there: nothing after it has been read */
} options;

/* Reads options from argv[0] on, as "--name value" or "--name=value", until the first word that is none, or "--".
 * result   how many words were used; -1 = a mistake, which has been reported */
int options_parse(int argc, char **argv, options *out);

/* Prints a line for each option. */
void options_print(FILE *out);

#endif
