/* address.c - URLs in and out. */
#include "net/address.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

enum { ADDRESS_SHOWN_BYTES = 151 }; /* of a URL that is refused */

static const char address_form[] = "write tcp://HOST:PORT, such as tcp://127.0.0.1:7000 or tcp://[::1]:7000";

static int address_refuse(const char *url, const char *what, char out_why[ADDRESS_WHY_BYTES]) {
  char shown[ADDRESS_SHOWN_BYTES];
  text_show(url, shown, sizeof shown);
  snprintf(out_why, ADDRESS_WHY_BYTES, "bad address \"%s\": %s (%s)", shown, what, address_form);
  return PORTICO_EINVAL;
}

static bool address_read_port(const char *text, uint16_t *out) {
  unsigned value = 0;
  size_t   len = strlen(text);
  if (len == 0 || len > 5) return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + (unsigned)(*text - '0');
  }
  *out = (uint16_t)value;
  return value <= UINT16_MAX;
}

/* No name or number has one; a message that shows the host would break there. */
static bool address_has_blank(const char *host, size_t len) {
  for (size_t i = 0; i < len; i++) {
    unsigned char byte = (unsigned char)host[i];
    if (byte <= 0x20 || byte == 0x7f) return true;
  }
  return false;
}

int address_parse(const char *url, address *out, char out_why[ADDRESS_WHY_BYTES]) {
  static const char scheme[] = "tcp://";
  const char       *sep = strstr(url, "://");
  if (sep == NULL) return address_refuse(url, "it has no scheme", out_why);
  if (strncmp(url, scheme, sizeof scheme - 1) != 0) {
    address_refuse(url, "this scheme is not supported", out_why);
    return PORTICO_ENOTSUP;
  }
  const char *host = sep + 3;
  const char *colon = strrchr(host, ':');
  bool        bracketed = *host == '[';
  const char *end = bracketed ? strchr(host, ']') : colon;
  if (bracketed && end == NULL) return address_refuse(url, "the ] is missing", out_why);
  if (colon == NULL || colon < end) return address_refuse(url, "it has no port", out_why);
  if (bracketed) host++;
  size_t len = (size_t)(end - host);
  if (len == 0) return address_refuse(url, "it has no host", out_why);
  if (len >= ADDRESS_HOST_BYTES) return address_refuse(url, "the host is too long", out_why);
  if (bracketed && colon != end + 1) return address_refuse(url, "no :PORT follows the ]", out_why);
  if (!bracketed && memchr(host, ':', len) != NULL) {
    return address_refuse(url, "an IPv6 address needs brackets", out_why);
  }
  if (address_has_blank(host, len)) return address_refuse(url, "the host has a blank or a control byte", out_why);
  uint16_t port;
  if (!address_read_port(colon + 1, &port)) return address_refuse(url, "the port is not 0 to 65535", out_why);
  memcpy(out->host, host, len);
  out->host[len] = '\0';
  out->port = port;
  return 0;
}

int address_numeric(const address *a, os_addr *out) {
  const char *host = strcmp(a->host, "*") == 0 ? "0.0.0.0" : a->host;
  return os_addr_parse(host, a->port, out) >= 0 ? 1 : 0;
}

int address_resolve(const address *a, os_addr *out, unsigned max) {
  return address_numeric(a, out) == 1 ? 1 : os_resolve(a->host, a->port, out, max);
}

void address_format(const os_addr *a, char out[ADDRESS_URL_BYTES]) {
  char text[OS_ADDR_TEXT] = "?";
  if (a->len > 0) os_addr_format(a, text);
  snprintf(out, ADDRESS_URL_BYTES, "tcp://%s", text);
}
