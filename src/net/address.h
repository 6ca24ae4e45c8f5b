/* address.h - addresses as people write them: tcp://host:port.   Layer: net. */
#ifndef PORTICO_NET_ADDRESS_H
#define PORTICO_NET_ADDRESS_H
#include "os/socket.h"

enum { ADDRESS_HOST_BYTES = 256, ADDRESS_URL_BYTES = 16 + OS_ADDR_TEXT, ADDRESS_WHY_BYTES = 400 };

/* A parsed URL: what to resolve and where. */
typedef struct address {
  char     host[ADDRESS_HOST_BYTES]; /* name or number, without brackets; "*" = every IPv4 address */
  uint16_t port;
} address;

/* Reads "tcp://HOST:PORT"; HOST is a name, an IPv4 address, an [IPv6 address] or *. PORT is 0..65535.
 * errors   EINVAL (out_why says in one line what is wrong with which part), ENOTSUP (a scheme that we do not speak) */
int address_parse(const char *url, address *out, char out_why[ADDRESS_WHY_BYTES]);

/* The numeric addresses of a parsed URL, best first. Blocks if the host is a name.
 * result   how many (>= 1); ENAME, ENOMEM */
int address_resolve(const address *a, os_addr *out, unsigned max);

/* Answers without asking anyone: 1 if the host is a number (or *), 0 if it is a name. */
int address_numeric(const address *a, os_addr *out);

/* Writes "tcp://127.0.0.1:80"; "tcp://?" for no address. */
void address_format(const os_addr *a, char out[ADDRESS_URL_BYTES]);

#endif
