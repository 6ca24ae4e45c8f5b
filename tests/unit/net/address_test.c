/* address_test.c - URLs in and out. Nothing here asks a name server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/address.h"

static int start_sockets(void **state) {
  (void)state;
  return os_sockets_init();
}

static int end_sockets(void **state) {
  (void)state;
  os_sockets_fini();
  return 0;
}

static void a_good_url_gives_host_and_port(void **state) {
  (void)state;
  static const struct {
    const char *url, *host;
    uint16_t    port;
  } good[] = {
      {"tcp://127.0.0.1:7000", "127.0.0.1", 7000}, {"tcp://[::1]:80", "::1", 80},
      {"tcp://*:1", "*", 1},                       {"tcp://example.org:443", "example.org", 443},
      {"tcp://localhost:0", "localhost", 0},       {"tcp://a:65535", "a", 65535},
      {"tcp://a:00080", "a", 80},                  {"tcp://[fe80::1%25]:9", "fe80::1%25", 9},
  };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    address a;
    char    why[ADDRESS_WHY_BYTES] = "";
    assert_int_equal(address_parse(good[i].url, &a, why), 0);
    assert_string_equal(a.host, good[i].host);
    assert_int_equal(a.port, good[i].port);
    assert_string_equal(why, "");
  }
}

static void a_bad_url_is_refused_with_a_reason(void **state) {
  (void)state;
  static const struct {
    const char *url, *reason;
  } bad[] = {
      {"", "no scheme"},
      {"127.0.0.1:80", "no scheme"},
      {"tcp:127.0.0.1:80", "no scheme"},
      {"tcp://", "no port"},
      {"tcp://host", "no port"},
      {"tcp://[::1]", "no port"},
      {"tcp://:80", "no host"},
      {"tcp://[]:80", "no host"},
      {"tcp://[::1:80", "] is missing"},
      {"tcp://[::1]x:80", "no :PORT follows"},
      {"tcp://::1:80", "needs brackets"},
      {"tcp://host:", "port is not"},
      {"tcp://host:x", "port is not"},
      {"tcp://host:-1", "port is not"},
      {"tcp://host:+1", "port is not"},
      {"tcp://host: 1", "port is not"},
      {"tcp://host:80/path", "port is not"},
      {"tcp://host:65536", "port is not"},
      {"tcp://host:99999", "port is not"},
      {"tcp://host:000080", "port is not"},
      {"tcp://host:4294967376", "port is not"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    address a;
    char    why[ADDRESS_WHY_BYTES] = "";
    assert_int_equal(address_parse(bad[i].url, &a, why), PORTICO_EINVAL);
    assert_non_null(strstr(why, bad[i].reason));
    assert_non_null(strstr(why, bad[i].url));
    assert_non_null(strstr(why, "tcp://HOST:PORT"));
  }
}

static void a_scheme_that_we_do_not_speak_is_not_supported(void **state) {
  (void)state;
  static const char *const urls[] = {"udp://127.0.0.1:80", "http://a:80", "TCP://a:80", "tcps://a:80", "://a:80"};
  for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
    address a;
    char    why[ADDRESS_WHY_BYTES] = "";
    assert_int_equal(address_parse(urls[i], &a, why), PORTICO_ENOTSUP);
    assert_non_null(strstr(why, "not supported"));
  }
}

static void a_host_may_be_as_long_as_a_name_and_no_longer(void **state) {
  (void)state;
  char    url[1024] = "tcp://", why[ADDRESS_WHY_BYTES];
  address a;
  memset(url + 6, 'a', ADDRESS_HOST_BYTES - 1);
  strcpy(url + 6 + ADDRESS_HOST_BYTES - 1, ":1");
  assert_int_equal(address_parse(url, &a, why), 0);
  assert_int_equal(strlen(a.host), ADDRESS_HOST_BYTES - 1);
  memset(url + 6, 'a', ADDRESS_HOST_BYTES);
  strcpy(url + 6 + ADDRESS_HOST_BYTES, ":1");
  assert_int_equal(address_parse(url, &a, why), PORTICO_EINVAL);
  assert_non_null(strstr(why, "too long"));
  memset(url + 6, 'a', 900); /* the reason has less room than the URL */
  strcpy(url + 6 + 900, ":1");
  assert_int_equal(address_parse(url, &a, why), PORTICO_EINVAL);
  assert_true(strlen(why) < ADDRESS_WHY_BYTES);
  assert_non_null(strstr(why, "too long"));
}

static void a_refused_url_is_told_in_one_line(void **state) {
  (void)state;
  address a;
  char    why[ADDRESS_WHY_BYTES];
  assert_int_equal(address_parse("tcp://ho\nst:1", &a, why), PORTICO_EINVAL);
  assert_non_null(strstr(why, "\"tcp://ho?st:1\": the host has a blank or a control byte"));
  assert_int_equal(address_parse("tcp://ho\x7fst:1", &a, why), PORTICO_EINVAL);
  assert_int_equal(address_parse("tcp://ho\nst\x1b[31m", &a, why), PORTICO_EINVAL);
  assert_null(strpbrk(why, "\n\x1b"));
  assert_non_null(strstr(why, "\"tcp://ho?st?[31m\""));
  assert_int_equal(address_parse("tcp://ho\x7fst:1", &a, why), PORTICO_EINVAL);
}

static void a_refused_url_leaves_the_output_alone(void **state) {
  (void)state;
  address a = {.host = "before", .port = 7};
  char    why[ADDRESS_WHY_BYTES];
  assert_int_equal(address_parse("tcp://host:99999", &a, why), PORTICO_EINVAL);
  assert_string_equal(a.host, "before");
  assert_int_equal(a.port, 7);
}

static void numbers_are_told_from_names(void **state) {
  (void)state;
  os_addr out;
  assert_int_equal(address_numeric(&(address){.host = "127.0.0.1", .port = 1}, &out), 1);
  assert_int_equal(address_numeric(&(address){.host = "::1", .port = 1}, &out), 1);
  assert_int_equal(address_numeric(&(address){.host = "*", .port = 1}, &out), 1);
  assert_int_equal(address_numeric(&(address){.host = "localhost", .port = 1}, &out), 0);
  assert_int_equal(address_numeric(&(address){.host = "1.2.3", .port = 1}, &out), 0);
  assert_int_equal(address_numeric(&(address){.host = "1.2.3.256", .port = 1}, &out), 0);
}

static void what_was_formatted_can_be_parsed_again(void **state) {
  (void)state;
  static const char *const urls[] = {"tcp://127.0.0.1:7000", "tcp://[::1]:65535", "tcp://0.0.0.0:0",
                                     "tcp://[2001:db8::ff00:42:8329]:443"};
  for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
    address a;
    os_addr at;
    char    why[ADDRESS_WHY_BYTES], url[ADDRESS_URL_BYTES];
    assert_int_equal(address_parse(urls[i], &a, why), 0);
    assert_int_equal(address_resolve(&a, &at, 1), 1);
    address_format(&at, url);
    assert_string_equal(url, urls[i]);
  }
}

static void a_star_is_every_ipv4_address(void **state) {
  (void)state;
  os_addr at[2];
  char    url[ADDRESS_URL_BYTES];
  assert_int_equal(address_resolve(&(address){.host = "*", .port = 8080}, at, 2), 1);
  address_format(&at[0], url);
  assert_string_equal(url, "tcp://0.0.0.0:8080");
}

static void no_address_is_a_question_mark(void **state) {
  (void)state;
  char url[ADDRESS_URL_BYTES];
  address_format(&(os_addr){0}, url);
  assert_string_equal(url, "tcp://?");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_good_url_gives_host_and_port),
      cmocka_unit_test(a_bad_url_is_refused_with_a_reason),
      cmocka_unit_test(a_scheme_that_we_do_not_speak_is_not_supported),
      cmocka_unit_test(a_host_may_be_as_long_as_a_name_and_no_longer),
      cmocka_unit_test(a_refused_url_is_told_in_one_line),
      cmocka_unit_test(a_refused_url_leaves_the_output_alone),
      cmocka_unit_test(numbers_are_told_from_names),
      cmocka_unit_test(what_was_formatted_can_be_parsed_again),
      cmocka_unit_test(a_star_is_every_ipv4_address),
      cmocka_unit_test(no_address_is_a_question_mark),
  };
  return cmocka_run_group_tests_name("address", tests, start_sockets, end_sockets);
}
