/* port_files.h - operations on files where the kernel only offers calls that wait: a few threads make them.
 * Layer: port (private to it).
 *
 * One for each port. An op is handed to a thread that has nothing to do, or waits in line; its packet goes to the
 * port's queue like any other. The threads are started when ops need them and end with the port. */
#ifndef PORTICO_PORT_PORT_FILES_H
#define PORTICO_PORT_PORT_FILES_H
#include "base/sized.h"
#include "port/port_sock.h"

enum {
  FILES_HELPERS_MAX = SIZED(4, 1),
  FILES_PIECE_BYTES = SIZED(1024 * 1024, 61), /* after each a helper looks whether the op was cancelled */
};

typedef struct port_files port_files;

typedef struct files_helper {
  os_thread   thread;
  os_event    event; /* it has an op, or is to end */
  port_files *files;
  /* under files->lock */
  sock_op    *op;     /* that it runs; NULL = none */
  bool        orphan; /* the handle of that op is closed: who ends the last such op frees it */
} files_helper;

struct port_files {
  os_mutex     lock; /* no other is taken under it */
  /* under lock */
  sock_files   waiting;
  unsigned     started; /* helpers[0] to helpers[started - 1] have a thread */
  bool         stop;
  files_helper helpers[FILES_HELPERS_MAX];
  /* fixed after init */
  port_queue  *queue;
};

/* Makes one without threads; frees one that was stopped. */
void port_files_init(port_files *f, port_queue *q);
void port_files_fini(port_files *f);

/* Ends all ops and the threads: what waited ends with ECANCELED, what runs is waited for. Later starts fail. Before the
 * queue is closed, so that it drops the packets. */
void port_files_stop(port_files *f);

/* The namesakes in port_backend.h, for handles of files. Nothing of a handle but its port_handle is used. */
int  port_files_start(port_files *f, port_handle *h, port_op *op, port_file_what what, void *data, uint32_t len,
                      uint64_t offset);
void port_files_close(port_files *f, port_handle *h);
int  port_files_cancel(sock_op *op);
int  port_files_cancel_all(port_files *f, port_handle *h);

#endif
