/* loopback.h - connections to ourselves: one end is a handle on a port, the other a plain socket in the test's hand. */
#ifndef PORTICO_TESTS_PORT_LOOPBACK_H
#define PORTICO_TESTS_PORT_LOOPBACK_H
#include "worker.h"

typedef struct pair {
  port_handle *here;
  os_socket    there;
} pair;

/* 127.0.0.1 with this port number, 0 = any; one that nobody listens on. */
os_addr loopback_addr(uint16_t number);
os_addr loopback_dead_addr(fixture *f);

/* Sockets of the fixture: not connected; listening; connected to an address (waits); the next one accepted (waits). */
os_socket loopback_socket(fixture *f, os_socket_type type);
os_socket loopback_listen(fixture *f, os_addr *out_at);
os_socket loopback_client(fixture *f, const os_addr *to);
os_socket loopback_accept(fixture *f, os_socket listener);

/* Handles of the fixture, attached with that key: a connection, both ends also as plain sockets, a listener, a stream
 * that is not connected, a bound datagram socket. */
pair         loopback_pair(fixture *f, port *p, void *key);
void         loopback_sockets(fixture *f, os_socket out[2]);
port_handle *loopback_listener(fixture *f, port *p, void *key, os_addr *out_at);
port_handle *loopback_stream(fixture *f, port *p, void *key);
port_handle *loopback_datagram(fixture *f, port *p, void *key, os_addr *out_at);

/* Plain sockets, usable on any thread: true if all of it happened before the deadline. */
bool peer_send(os_socket s, const void *data, size_t len);
bool peer_recv(os_socket s, void *data, size_t len);
bool peer_at_end(os_socket s);
bool peer_was_reset(os_socket s);

/* True if what a receive on h has told means that its peer has reset it. */
bool here_was_reset(port_handle *h, int64_t told);

/* Closes so that the other end sees a reset. */
void peer_reset(fixture *f, os_socket s);

/* Sends to our end and waits until it is there. */
bool pair_deliver(const pair *c, const char *text);

/* Starts count receives of one byte each. Returns the array of their ops. */
port_op *pair_start_receives(fixture *f, port_handle *h, unsigned count);

/* Offers bytes to the kernel until it takes no more, so that the next send must wait. Returns how many it took. */
size_t pair_fill(const pair *c);

/* A byte pattern that depends on the offset in a stream: writes it, checks it. */
void pattern_fill(void *data, size_t len, size_t offset);
bool pattern_holds(const void *data, size_t len, size_t offset);

/* Body for worker_run: receives `total` bytes of the pattern from its beginning, then says whether all were right. */
typedef struct pattern_reader {
  os_socket     s;
  size_t        total;
  _Atomic size_t done;
  bool          good; /* to be read when the worker has returned */
} pattern_reader;
void pattern_read(worker *w, void *reader);

#endif
