/* address.c - addresses as text and names to addresses: getaddrinfo and getnameinfo, the same on every system. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#endif

#include "base/check.h"
#include "base/error.h"
#include "os/sim_seam.h"

static_assert(sizeof(struct sockaddr_in) <= OS_ADDR_BYTES, "an IPv4 address fits");
static_assert(sizeof(struct sockaddr_in6) <= OS_ADDR_BYTES, "an IPv6 address fits");

enum { NAME_BYTES_MAX = 256 }; /* longest DNS name, NUL included */

static const struct sockaddr *addr_kernel(const os_addr *a) {
  return (const struct sockaddr *)(const void *)a->bytes;
}

static void addr_set(os_addr *out, const void *kernel, size_t len) {
  memset(out, 0, sizeof *out);
  out->len = (uint32_t)len;
  memcpy(out->bytes, kernel, len);
}

/* There are no other families than the two that have room, or none that a name could have. */
static void addr_copy(os_addr *out, const struct addrinfo *from) {
  CHECK(from->ai_addrlen <= OS_ADDR_BYTES);
  addr_set(out, from->ai_addr, from->ai_addrlen);
}

static int addr_lookup(const char *name, uint16_t port, int family, int flags, struct addrinfo **out_list) {
  struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
  char            service[8];
  snprintf(service, sizeof service, "%u", (unsigned)port);
  int err = getaddrinfo(name, service, &hints, out_list);
  if (err == 0) return 0;
  return err == EAI_MEMORY ? PORTICO_ENOMEM : PORTICO_ENAME;
}

/* "fe80::1%eth0": the address as usual; what the scope means only getaddrinfo knows. */
static int addr_parse_scoped(const char *ip, uint16_t port, os_addr *out) {
  struct addrinfo *list;
  if (addr_lookup(ip, port, AF_INET6, AI_NUMERICHOST, &list) < 0) return PORTICO_EINVAL;
  addr_copy(out, list);
  freeaddrinfo(list);
  return 0;
}

/* By inet_pton as far as it goes: getaddrinfo also takes "1" for an address, and on Windows "[::1]". */
int os_addr_parse(const char *ip, uint16_t port, os_addr *out) {
  struct sockaddr_in  v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
    addr_set(out, &v4, sizeof v4);
    return 0;
  }
  char   plain[INET6_ADDRSTRLEN];
  size_t len = strcspn(ip, "%");
  if (len >= sizeof plain) return PORTICO_EINVAL;
  memcpy(plain, ip, len);
  plain[len] = '\0';
  if (inet_pton(AF_INET6, plain, &v6.sin6_addr) != 1) return PORTICO_EINVAL;
  if (ip[len] == '%') return addr_parse_scoped(ip, port, out);
  addr_set(out, &v6, sizeof v6);
  return 0;
}

/* The text of an IPv6 address with its scope is 55 bytes long at most, so that brackets and port find room. */
void os_addr_format(const os_addr *a, char out[OS_ADDR_TEXT]) {
  char host[OS_ADDR_TEXT - 8];
  if (a->len == 0 || getnameinfo(addr_kernel(a), (socklen_t)a->len, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0) {
    snprintf(out, OS_ADDR_TEXT, "?");
    return;
  }
  bool v6 = addr_kernel(a)->sa_family == AF_INET6;
  snprintf(out, OS_ADDR_TEXT, v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)os_addr_port(a));
}

uint16_t os_addr_port(const os_addr *a) {
  struct sockaddr_in6 in; /* family and port lie at the same place in both kinds */
  static_assert(offsetof(struct sockaddr_in, sin_port) == offsetof(struct sockaddr_in6, sin6_port), "same place");
  if (a->len == 0) return 0;
  memcpy(&in, a->bytes, sizeof in);
  return ntohs(in.sin6_port);
}

int os_resolve(const char *name, uint16_t port, os_addr *out, unsigned max) {
  struct addrinfo *list;
  if (name[0] == '\0' || strlen(name) >= NAME_BYTES_MAX) return PORTICO_ENAME;
  if (sim_here != NULL) return sim_resolve(name, port, out);
  int err = addr_lookup(name, port, AF_UNSPEC, 0, &list);
  if (err < 0) return err;
  unsigned count = 0;
  for (const struct addrinfo *at = list; at != NULL && count < max; at = at->ai_next) { /* uncovered: none has many */
    addr_copy(&out[count++], at);
  }
  freeaddrinfo(list);
  return (int)count;
}
