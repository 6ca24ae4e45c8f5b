/* script.h - finds the script that the command line names, and hands it to a host.   Layer: cli. */
#ifndef PORTICO_CLI_SCRIPT_H
#define PORTICO_CLI_SCRIPT_H
#include <stddef.h>

#include "portico.h"

/* Name of a script that is part of this program ("echo"); NULL after the last. */
const char *script_default_name(size_t index);

/* The text of the default script that the word names; NULL: none, or there is a file at that path. */
const char *script_default_text(const char *script);

/* Compiles the script: a file if there is one at that path, else the default script of that name.
 * result   as portico_load_file */
int script_load(portico_host *host, const char *script, int argc, char **argv);

#endif
