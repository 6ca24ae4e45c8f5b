/* test.h - `portico test`: runs the tests that users write for their handlers.   Layer: cli. */
#ifndef PORTICO_CLI_TEST_H
#define PORTICO_CLI_TEST_H

/* `portico test`: argv holds what follows that word.
 * result   the program's exit code */
int test_command(int argc, char **argv);

#endif
