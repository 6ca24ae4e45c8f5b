/* run.h - the commands "run" and "check".   Layer: cli. */
#ifndef PORTICO_CLI_RUN_H
#define PORTICO_CLI_RUN_H

/* portico run [OPTIONS] SCRIPT [ARGS...]: argv[0..argc) is what follows "run". result: the exit code */
int run_command(int argc, char **argv);

/* portico check SCRIPT: compiles only. result: the exit code */
int check_command(int argc, char **argv);

#endif
