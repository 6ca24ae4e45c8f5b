/* listener.c - keeps accepts in flight. */
#include "net/listener.h"

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"

enum { LISTENER_BACKLOG = 1024 };
static const int64_t listener_pause_ns = 50 * OS_NS_PER_MS; /* when out of descriptors: soon enough for a free one */
static const int64_t listener_calm_ns = 5LL * OS_NS_PER_S;

static void listener_begin(listener_accept *a);

static int listener_bind(os_socket s, const os_addr *at, const listener_options *options) {
  int err = options->reuse_port ? os_socket_share_address(s) : 0;
  if (err == 0) err = os_socket_bind(s, at);
  if (err == 0) err = os_socket_set_buffers(s, options->send_buffer, options->recv_buffer);
  if (err == 0) err = os_socket_listen(s, options->backlog > 0 ? options->backlog : LISTENER_BACKLOG);
  return err;
}

int listener_open(listener *l, port *p, void *key, const os_addr *at, const listener_options *options,
                  const listener_handlers *on) {
  *l = (listener){.on = on, .port = p, .key = key};
  os_socket s;
  int       err = os_socket_open(OS_TCP, at, &s);
  if (err < 0) return err;
  err = listener_bind(s, at, options);
  if (err == 0) err = os_socket_local(s, &l->at);
  if (err == 0) err = port_handle_open(s, PORT_LISTENER, &l->handle);
  if (err < 0) {
    os_socket_close(s);
    return err;
  }
  err = port_attach(p, l->handle, key);
  if (err < 0) port_handle_close(l->handle);
  return err;
}

static void listener_end(listener *l) {
  if (l->state == LISTENER_CLOSED && l->inflight == 0) l->on->on_close(l);
}

/* Trouble is told once, and its end only after some time without: near a limit accepts fail and succeed in turns. */
static void listener_trouble(listener *l, int err) {
  int64_t now = os_clock_now();
  if (err < 0) l->trouble_ns = now;
  bool over = err == 0 && now - l->trouble_ns > listener_calm_ns;
  if (l->in_trouble ? !over : err == 0) return;
  l->in_trouble = !over;
  l->on->on_trouble(l, err);
}

static void listener_on_pause(completion *c) {
  listener_accept *a = (listener_accept *)c;
  a->listener->inflight--;
  listener_begin(a);
  listener_end(a->listener);
}

/* Tries again later; without memory for a timer, as soon as others have had their turn. */
static void listener_pause(listener_accept *a, int err) {
  listener *l = a->listener;
  listener_trouble(l, err);
  a->accept.run = listener_on_pause;
  l->inflight++;
  err = port_timer(l->port, &a->accept.op, l->key, os_clock_now() + listener_pause_ns);
  if (err < 0) { /* uncovered: no memory just here */
    err = port_post_op(l->port, l->key, &a->accept.op);
    CHECK(err == 0);
  }
}

static void listener_on_accept(completion *c) {
  listener_accept *a = (listener_accept *)c;
  listener        *l = a->listener;
  l->inflight--;
  if (c->err < 0) {
    if (l->state == LISTENER_OPEN) listener_pause(a, c->err);
    listener_end(l);
    return;
  }
  os_addr   peer;
  os_socket s = port_accepted(&c->op, &peer);
  if (l->state == LISTENER_CLOSED) {
    os_socket_close(s);
    listener_end(l);
    return;
  }
  if (l->in_trouble) listener_trouble(l, 0);
  listener_begin(a);
  l->on->on_accept(l, s, &peer); /* may close the listener */
}

static void listener_begin(listener_accept *a) {
  listener *l = a->listener;
  if (l->state == LISTENER_CLOSED) return;
  a->accept.run = listener_on_accept;
  int err = port_accept(l->handle, &a->accept.op);
  if (err < 0) listener_pause(a, err); /* uncovered: no memory just here */
  else l->inflight++;
}

void listener_start(listener *l) {
  for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
    l->accepts[i].listener = l;
    listener_begin(&l->accepts[i]);
  }
}

void listener_close(listener *l) {
  if (l->state == LISTENER_CLOSED) return;
  l->state = LISTENER_CLOSED;
  os_socket_stop_listening(port_handle_socket(l->handle));
  port_handle_close(l->handle);
  for (unsigned i = 0; i < LISTENER_ACCEPTS; i++) {
    if (l->accepts[i].accept.run == listener_on_pause) port_cancel(&l->accepts[i].accept.op);
  }
  listener_end(l);
}
