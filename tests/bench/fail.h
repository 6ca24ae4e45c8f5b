/* fail.h - how a program of the bench ends when it cannot measure: one line to stderr, exit code 1. */
#ifndef PORTICO_BENCH_FAIL_H
#define PORTICO_BENCH_FAIL_H

/* Writes the name of the program and the message, then exits with 1. A figure taken after a failure would be a lie. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
