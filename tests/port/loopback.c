/* loopback.c - connections to ourselves. */
#include "loopback.h"

#include <stdlib.h>

os_addr loopback_addr(uint16_t number) {
  os_addr at;
  assert_int_equal(os_addr_parse("127.0.0.1", number, &at), 0);
  return at;
}

os_socket loopback_socket(fixture *f, os_socket_type type) {
  os_addr   family = loopback_addr(0);
  os_socket s = OS_SOCKET_NONE;
  assert_int_equal(os_socket_open(type, &family, &s), 0);
  return fixture_own(f, s);
}

/* Binds to any port and tells which. */
static os_socket loopback_bound(fixture *f, os_socket_type type, os_addr *out_at) {
  os_socket s = loopback_socket(f, type);
  os_addr   any = loopback_addr(0);
  assert_int_equal(os_socket_bind(s, &any), 0);
  assert_int_equal(os_socket_local(s, out_at), 0);
  return s;
}

/* Bound, so that nobody else gets the number, but not listening: the kernel refuses. */
os_addr loopback_dead_addr(fixture *f) {
  os_addr at;
  loopback_bound(f, OS_TCP, &at);
  return at;
}

os_socket loopback_listen(fixture *f, os_addr *out_at) {
  os_socket s = loopback_bound(f, OS_TCP, out_at);
  assert_int_equal(os_socket_listen(s, 256), 0);
  return s;
}

os_socket loopback_client(fixture *f, const os_addr *to) {
  os_socket s = loopback_socket(f, OS_TCP);
  int       err = os_socket_connect(s, to);
  if (err == PORTICO_EAGAIN) {
    assert_true(os_socket_wait(s, OS_WRITABLE, fixture_deadline()) > 0);
    err = os_socket_take_error(s);
  }
  assert_int_equal(err, 0);
  return s;
}

os_socket loopback_accept(fixture *f, os_socket listener) {
  os_socket s = OS_SOCKET_NONE;
  os_addr   peer;
  int      err;
  do { /* that one is there may turn out not to be so */
    assert_true(os_socket_wait(listener, OS_READABLE, fixture_deadline()) > 0);
    err = os_socket_accept(listener, &s, &peer);
  } while (err == PORTICO_EAGAIN);
  assert_int_equal(err, 0);
  return fixture_own(f, s);
}

void loopback_sockets(fixture *f, os_socket out[2]) {
  os_addr   at;
  os_socket listener = loopback_listen(f, &at);
  out[0] = loopback_client(f, &at);
  out[1] = loopback_accept(f, listener);
  fixture_close_socket(f, listener);
}

pair loopback_pair(fixture *f, port *p, void *key) {
  os_socket ends[2];
  loopback_sockets(f, ends);
  os_socket_set_nodelay(ends[0], true);
  os_socket_set_nodelay(ends[1], true);
  return (pair){.here = fixture_handle(f, ends[1], PORT_STREAM, p, key), .there = ends[0]};
}

port_handle *loopback_listener(fixture *f, port *p, void *key, os_addr *out_at) {
  return fixture_handle(f, loopback_listen(f, out_at), PORT_LISTENER, p, key);
}

port_handle *loopback_stream(fixture *f, port *p, void *key) {
  return fixture_handle(f, loopback_socket(f, OS_TCP), PORT_STREAM, p, key);
}

port_handle *loopback_datagram(fixture *f, port *p, void *key, os_addr *out_at) {
  return fixture_handle(f, loopback_bound(f, OS_UDP, out_at), PORT_DATAGRAM, p, key);
}

/* ---- plain sockets ---- */

bool peer_send(os_socket s, const void *data, size_t len) {
  int64_t end = os_clock_now() + fixture_deadline();
  for (size_t done = 0; done < len;) {
    int64_t n = os_socket_send(s, (const char *)data + done, len - done);
    if (n >= 0) done += (size_t)n;
    else if (n != PORTICO_EAGAIN || os_clock_now() >= end) return false;
    else os_socket_wait(s, OS_WRITABLE, MS(100));
  }
  return true;
}

/* What a receive says once it has something to say. */
static int64_t peer_recv_some(os_socket s, void *data, size_t len) {
  int64_t end = os_clock_now() + fixture_deadline();
  for (;;) {
    int64_t n = os_socket_recv(s, data, len);
    if (n != PORTICO_EAGAIN || os_clock_now() >= end) return n;
    os_socket_wait(s, OS_READABLE, MS(100));
  }
}

bool peer_recv(os_socket s, void *data, size_t len) {
  for (size_t done = 0; done < len;) {
    int64_t n = peer_recv_some(s, (char *)data + done, len - done);
    if (n <= 0) return false;
    done += (size_t)n;
  }
  return true;
}

bool peer_at_end(os_socket s) {
  char byte;
  return peer_recv_some(s, &byte, 1) == 0;
}

/* Wine 8 reports a reset as an end to whoever was not receiving when it came; sending tells the truth. */
static bool end_is_reset(os_socket s) {
  return os_socket_send(s, "x", 1) == PORTICO_ECONNRESET;
}

bool here_was_reset(port_handle *h, int64_t told) {
  return told == PORTICO_ECONNRESET || (fixture_slow() && told == 0 && end_is_reset(port_handle_socket(h)));
}

bool peer_was_reset(os_socket s) {
  char    bytes[4096];
  int64_t n;
  do n = peer_recv_some(s, bytes, sizeof bytes);
  while (n > 0);
  return n == PORTICO_ECONNRESET || (n == 0 && end_is_reset(s));
}

void peer_reset(fixture *f, os_socket s) {
  assert_int_equal(os_socket_set_reset_on_close(s), 0);
  fixture_close_socket(f, s);
}

/* ---- pairs and patterns ---- */

bool pair_deliver(const pair *c, const char *text) {
  return peer_send(c->there, text, strlen(text)) &&
         os_socket_wait(port_handle_socket(c->here), OS_READABLE, fixture_deadline()) > 0;
}

port_op *pair_start_receives(fixture *f, port_handle *h, unsigned count) {
  port_op *ops = fixture_ops(f, count);
  char    *bytes = fixture_memory(f, count);
  for (unsigned i = 0; i < count; i++) assert_int_equal(port_recv(h, &ops[i], BUF(bytes + i, 1), 1), 0);
  return ops;
}

size_t pair_fill(const pair *c) {
  static char zeros[65536];
  size_t      taken = 0;
  unsigned    refusals = 0;
  while (refusals < 3) { /* the kernel still moves bytes to the other side for a moment */
    int64_t n = port_try_send(c->here, BUF(zeros, sizeof zeros), 1);
    if (n > 0) taken += (size_t)n;
    else if (n == PORTICO_EAGAIN) refusals++, fixture_pause(fixture_slow() ? MS(50) : MS(5));
    else break;
  }
  return taken;
}

void pattern_fill(void *data, size_t len, size_t offset) {
  unsigned char *bytes = data;
  for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)((offset + i) * 131 >> 3 ^ (offset + i));
}

bool pattern_holds(const void *data, size_t len, size_t offset) {
  const unsigned char *bytes = data;
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] != (unsigned char)((offset + i) * 131 >> 3 ^ (offset + i))) return false;
  }
  return true;
}

void pattern_read(worker *w, void *reader) {
  pattern_reader *r = reader;
  static _Thread_local char chunk[32768];
  (void)w;
  for (size_t done = 0; done < r->total; atomic_store(&r->done, done)) {
    size_t  most = r->total - done < sizeof chunk ? r->total - done : sizeof chunk;
    int64_t n = peer_recv_some(r->s, chunk, most);
    if (n <= 0 || !pattern_holds(chunk, (size_t)n, done)) return;
    done += (size_t)n;
  }
  r->good = true;
}
