/* port_posix.h - what the backends over POSIX sockets do alike: the bytes of an operation, and one try to move them.
 * Layer: port (private to it). Results of a try: bytes, EAGAIN (has to wait), or another error. */
#ifndef PORTICO_PORT_PORT_POSIX_H
#define PORTICO_PORT_PORT_POSIX_H
#include "port/port.h"

/* Which buffers, how far, from or to whom. */
typedef struct port_data {
  port_buf *bufs; /* &one, or allocated together with the address to send to */
  port_buf  one;
  unsigned  count, index; /* bufs[index] is the next to move */
  uint32_t  done;         /* bytes moved so far */
  os_addr  *addr;         /* receive-from: where to write; send-to: where to (NULL = connected) */
} port_data;

/* Notes what is the caller's. */
void port_data_use(port_data *d, const port_buf *bufs, unsigned count, os_addr *addr);

/* Copies the array and, when `to`, the address, since the operation outlives the call; gives the copies back.
 * errors   ENOBUFS */
int  port_data_keep(port_data *d, bool to);
void port_data_drop(port_data *d);

/* Copies received bytes into the buffers. result: how many had room */
size_t port_data_fill(port_data *d, const unsigned char *bytes, size_t len);

/* One datagram, or what a stream has. A datagram that was cut is EMSGSIZE; done then counts what arrived. */
int64_t port_data_recv(os_socket s, port_data *d, bool datagram);

/* All that is left, or as much as the kernel takes before it says EAGAIN. Needs kept buffers: it changes the array. */
int64_t port_data_send(os_socket s, port_data *d);

/* One datagram. */
int64_t port_data_send_to(os_socket s, port_data *d);

/* Offers pieces to the kernel in one call, without waiting. */
int64_t port_offer(os_socket s, const port_buf *bufs, unsigned count);

/* True if a stream is connected, or was until its peer reset it: then it has no peer any more, but an error to read. */
bool port_was_connected(os_socket s);

/* How the connect under way on s stands. result: 0, EAGAIN, or why it failed */
int port_connect_result(os_socket s);

#endif
