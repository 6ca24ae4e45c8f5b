/* sim_address.c - what a simulated network asks addresses. All of its hosts are this one: only the port number counts,
 * and the family. */
#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <netinet/in.h>
#endif
#include <string.h>

#include "base/error.h"
#include "os/sim_world.h"

static int sim_addr_family(const os_addr *a) {
  struct sockaddr plain;
  memcpy(&plain, a->bytes, sizeof plain);
  return plain.sa_family;
}

void sim_addr_set_port(os_addr *a, uint16_t number) {
  struct sockaddr_in in; /* family and port lie at the same place in both kinds, see os_addr_port */
  memcpy(&in, a->bytes, sizeof in);
  in.sin_port = htons(number);
  memcpy(a->bytes, &in, sizeof in);
}

os_addr sim_addr_loopback(const os_addr *like, uint16_t number) {
  os_addr a = {0};
  bool    v6 = like->len > 0 && sim_addr_family(like) == AF_INET6;
  os_addr_parse(v6 ? "::1" : "127.0.0.1", number, &a);
  return a;
}

bool sim_addr_same(const os_addr *a, const os_addr *b) {
  return a->len > 0 && sim_addr_family(a) == sim_addr_family(b) && os_addr_port(a) == os_addr_port(b);
}

int sim_resolve(const char *name, uint16_t port, os_addr *out) {
  if (os_addr_parse(strcmp(name, "localhost") == 0 ? "127.0.0.1" : name, port, out) == 0) return 1;
  return PORTICO_ENAME;
}
