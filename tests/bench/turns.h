/* turns.h - a process for each server, of which one at a time may work.
 *
 * Two servers with 10,000 connections each are 20,000 descriptors at the load's end, more than one process may have on
 * many a machine. So each server has a process of its own, with its own limit, and the parent says whose turn it is. */
#ifndef PORTICO_BENCH_TURNS_H
#define PORTICO_BENCH_TURNS_H

#include <stddef.h>
#include <sys/types.h>

typedef struct turns {
  pid_t pid;
  int   fd; /* one end of a pair of sockets: a byte gives the turn, a byte gives it back */
} turns;

/* Memory that the parent and its processes share; zeroed, and kept until the program ends. */
void *turns_memory(size_t bytes);

/* Starts a process that calls work(arg, fd) and ends; it dies with its parent. */
void turns_start(turns *t, void (*work)(void *arg, int fd), void *arg);

/* The parent: lets it work for one turn and waits for the end of it. Ends the program if the process did. */
void turns_give(turns *t);

/* The parent: waits for the end of the process, which has had its last turn. */
void turns_join(turns *t);

/* The process: waits for its turn; gives it back. */
void turns_wait(int fd);
void turns_end(int fd);

#endif
