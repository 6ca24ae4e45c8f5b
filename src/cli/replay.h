/* replay.h - `portico replay`: feeds a script with what `portico run --record` has recorded.   Layer: cli. */
#ifndef PORTICO_CLI_REPLAY_H
#define PORTICO_CLI_REPLAY_H

/* `portico replay`: argv holds what follows that word.
 * result   the program's exit code */
int replay_command(int argc, char **argv);

#endif
