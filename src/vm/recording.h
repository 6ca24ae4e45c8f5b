/* recording.h - what a connection receives and sends, written to a file as it happens.   Layer: vm. Strand only.
 *
 * src/host/README.md tells the format; lua/portico/recording.lua reads it. Nothing here waits for the disk and nothing
 * fails: a recording that cannot go on ends with a warning, and the connection does not notice. One that is NULL is
 * none: nothing is written.
 *
 *   OPENING -the file is there-> IDLE <-> WRITING; from each -an error-> FAILED. It holds the runtime until it is done
 *   with its file, so that a program that ends has written all. */
#ifndef PORTICO_VM_RECORDING_H
#define PORTICO_VM_RECORDING_H
#include <stdint.h>

#include "os/socket.h"

enum {
  RECORDING_WAITING_MAX = 16 * 1024 * 1024, /* bytes of one that wait to be written; see RECORDER_WAITING_MAX, too */
  RECORDING_FILE_MAX = 64 * 1024 * 1024,    /* bytes of one file */
};

typedef struct vm        vm;
typedef struct recording recording;

typedef enum recording_direction { RECORDING_ACCEPTED, RECORDING_OUTGOING } recording_direction;

/* Begins a recording of a connection of a VM; url is where the script listens, or what it connects to. A peer that is
 * not known yet has family 0.
 * result   NULL: nothing is recorded in this host, or there is no memory (which is logged) */
recording *recording_open(vm *v, recording_direction direction, const char *url, const os_addr *peer);

/* Notes what the handler is about to get, and what it has sent. (Cold: else they are compiled into the way of each
 * message, which costs connections that are not recorded more than the test for them.) */
__attribute__((cold)) void recording_received(recording *r, const void *data, size_t len);
__attribute__((cold)) void recording_sent(recording *r, const void *data, size_t len);

/* Notes that something else has happened: one lower-case word of the format. */
void recording_note(recording *r, const char *word);

/* Notes the end of the connection, err = 0 for an orderly one, and gives the recording back: it ends by itself once all
 * is written. */
void recording_close(recording *r, int err);

#endif
