/* sim_sockets.h - a simulated world to be in, and sockets there: what the tests of os/sim share. In a header, since a
 * C file here would be linked into the tests of every layer. After cmocka.h. */
#ifndef PORTICO_TESTS_UNIT_SIM_SOCKETS_H
#define PORTICO_TESTS_UNIT_SIM_SOCKETS_H
#include "os/sim.h"
#include "os/socket.h"

/* Makes a world and enters it. */
static inline os_sim *world_enter(const os_sim_options *options) {
  os_sim *w;
  assert_int_equal(os_sim_open(options, &w), 0);
  os_sim_enter(w);
  return w;
}

/* 127.0.0.1 with that port number. */
static inline os_addr addr_of(uint16_t number) {
  os_addr at;
  assert_int_equal(os_addr_parse("127.0.0.1", number, &at), 0);
  return at;
}

/* A socket for IPv4 in the calling thread's world. */
static inline os_socket make(os_socket_type type) {
  os_addr   family = addr_of(0);
  os_socket s = OS_SOCKET_NONE;
  assert_int_equal(os_socket_open(type, &family, &s), 0);
  return s;
}

#endif
