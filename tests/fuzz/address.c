/* address.c - URLs and numeric addresses. Nothing here asks a name server: names are those of a simulated network. */
#include <string.h>

#include "base/error.h"
#include "fuzz.h"
#include "net/address.h"
#include "os/sim.h"

/* What prints reads again as the same. */
static void check_prints_back(const os_addr *at) {
  char    url[ADDRESS_URL_BYTES], why[ADDRESS_WHY_BYTES];
  address parsed;
  os_addr again;
  memset(url, 'x', sizeof url);
  address_format(at, url);
  REQUIRE(memchr(url, '\0', sizeof url) != NULL && fuzz_one_line(url));
  REQUIRE(address_parse(url, &parsed, why) == 0);
  REQUIRE(parsed.port == os_addr_port(at));
  REQUIRE(address_numeric(&parsed, &again) == 1);
  REQUIRE(memcmp(at, &again, sizeof again) == 0);
}

static void check_parsed(const address *a, const char *url) {
  os_addr at, found[2];
  REQUIRE(memchr(a->host, '\0', sizeof a->host) != NULL && a->host[0] != '\0');
  REQUIRE(strstr(url, a->host) != NULL);
  int numeric = address_numeric(a, &at);
  int count = address_resolve(a, found, 2);
  REQUIRE(count == 1 || count == PORTICO_ENAME);
  REQUIRE(numeric == 0 || (numeric == 1 && count == 1 && memcmp(&at, &found[0], sizeof at) == 0));
  if (count == 1) REQUIRE(os_addr_port(&found[0]) == a->port);
  if (count == 1) check_prints_back(&found[0]);
}

static void check_url(const char *url) {
  char    why[ADDRESS_WHY_BYTES];
  address a, untouched;
  memset(&a, 0x5a, sizeof a);
  memset(&untouched, 0x5a, sizeof untouched);
  memset(why, 'x', sizeof why);
  int err = address_parse(url, &a, why);
  if (err == 0) {
    check_parsed(&a, url);
    return;
  }
  REQUIRE(err == PORTICO_EINVAL || err == PORTICO_ENOTSUP);
  REQUIRE(memcmp(&a, &untouched, sizeof a) == 0);
  REQUIRE(memchr(why, '\0', sizeof why) != NULL && fuzz_one_line(why));
}

static void check_number(const char *text) {
  os_addr at;
  int     err = os_addr_parse(text, 7000, &at);
  REQUIRE(err == 0 || err == PORTICO_EINVAL);
  if (err == 0) check_prints_back(&at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  os_sim *world;
  char   *text = fuzz_text(data, len);
  REQUIRE(os_sockets_init() == 0 && os_sim_open(&(os_sim_options){0}, &world) == 0);
  os_sim_enter(world);
  check_url(text);
  check_number(text);
  os_sim_leave();
  os_sim_close(world);
  os_sockets_fini();
  free(text);
  return 0;
}
