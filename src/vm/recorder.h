/* recorder.h - where the recordings of a host go, and what all of them share.   Layer: vm. */
#ifndef PORTICO_VM_RECORDER_H
#define PORTICO_VM_RECORDER_H
#include "vm/strand.h"

enum {
  RECORDER_WAITING_MAX = 64 * 1024 * 1024, /* bytes that wait to be written, of all connections */
  RECORDER_NAME_BYTES = 64,
};

typedef struct recorder recorder;
struct recorder {
  strand opening; /* makes the files, one after the other: that may wait for the disk */
  /* any thread */
  _Atomic unsigned files; /* how many there were: their numbers */
  _Atomic size_t   waiting_bytes;
  /* fixed */
  size_t folder_len;
  char   folder[];
};

/* Makes the folder if there is none, but not the one around it, and sees whether files can be made in it. Blocks.
 * errors   ENOFILE, EEXIST (a file is there), EACCES, EROFS, ENOSPC, EMFILE, EIO, ENOMEM */
int  recorder_open(port *p, const char *folder, recorder **out_recorder);
void recorder_close(recorder *r);

/* Writes the name of a new recording that began at this time, unlike any other; names sort by time. threads: any */
void recorder_name(recorder *r, int64_t unix_ns, char out[RECORDER_NAME_BYTES]);

#endif
