/* poller_win32.c - poller.h where the system has none of that kind: for simulated worlds only. */
#include "base/error.h"
#include "os/poller.h"
#include "os/sim_seam.h"

int os_poller_open(os_poller *out) {
  return sim_here != NULL ? sim_poller_open(&out->simulated) : PORTICO_ENOTSUP;
}

void os_poller_close(os_poller *p) {
  sim_poller_close(p->simulated);
}

int os_poller_add(os_poller *p, os_socket s, void *owner) {
  return sim_poller_add(p->simulated, s, owner);
}

int os_poller_again(os_poller *p, os_socket s, void *owner) {
  return sim_poller_again(p->simulated, s, owner);
}

void os_poller_remove(os_poller *p, os_socket s) {
  sim_poller_remove(p->simulated, s);
}

int os_poller_wait(os_poller *p, os_poll_event *out_events, unsigned max, int64_t until_ns) {
  return sim_poller_wait(p->simulated, out_events, max, until_ns);
}

void os_poller_wake(os_poller *p) {
  sim_poller_wake(p->simulated);
}
