/* port_uring_ops.c - handles and operations over io_uring.
 *
 * What a request brings is kept as parts of its handle and given to the ops that wait, in order; so an op can be
 * cancelled, or its handle closed, at once: the kernel never has an op's buffers. Sends that have to wait, datagrams
 * and connects are tried, and wait with a poll request before they are tried again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/poll.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/error.h"
#include "port/port_uring.h"

static uring_handle *uring_handle_of(port_handle *h) {
  return (uring_handle *)h;
}

static port_queue *uring_queue(const uring_handle *h) {
  return &uring_port_of(h)->queue;
}

/* ---- lines ---- */

static sock_line *uring_line_of(uring_handle *h, const sock_op *op) {
  return sock_is_send(op) ? &h->sends : &h->recvs;
}

/* An op that was pending goes from its line to the packets. */
static void uring_op_end(uring_handle *h, sock_op *op, uint32_t bytes, int err, packet_list *out) {
  sock_line_remove(uring_line_of(h, op), op);
  sock_op_pack(op, bytes, err, out);
}

/* ---- requests ---- */

static bool uring_is_armed(const uring_handle *h, uring_request request) {
  return (h->armed & 1u << request) != 0;
}

static void uring_arm(uring_handle *h, uring_request request, struct io_uring_sqe *sqe, bool flushed) {
  h->armed |= (uint8_t)(1u << request);
  h->cancelled &= (uint8_t)~(1u << request);
  uring_end(uring_port_of(h), sqe, h, request, flushed);
}

static void uring_arm_receive(uring_handle *h) {
  struct io_uring_sqe *sqe = uring_begin(uring_port_of(h));
  io_uring_prep_recv_multishot(sqe, h->base.socket, NULL, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT; /* group 0 */
  uring_arm(h, URING_RECEIVE, sqe, false);
}

static void uring_arm_poll(uring_handle *h, uring_request request) {
  if (uring_is_armed(h, request)) return;
  struct io_uring_sqe *sqe = uring_begin(uring_port_of(h));
  io_uring_prep_poll_add(sqe, h->base.socket, request == URING_READABLE ? POLLIN : POLLOUT);
  uring_arm(h, request, sqe, false);
}

static void uring_arm_accept(uring_handle *h) {
  if (uring_is_armed(h, URING_ACCEPT)) return;
  struct io_uring_sqe *sqe = uring_begin(uring_port_of(h));
  io_uring_prep_multishot_accept(sqe, h->base.socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  uring_arm(h, URING_ACCEPT, sqe, false);
}

static void uring_disarm(uring_handle *h, uring_request request) {
  if (!uring_is_armed(h, request) || (h->cancelled & 1u << request) != 0) return;
  h->cancelled |= (uint8_t)(1u << request);
  struct io_uring_sqe *sqe = uring_begin(uring_port_of(h));
  io_uring_prep_cancel64(sqe, (uintptr_t)h | request, 0);
  uring_end(uring_port_of(h), sqe, NULL, URING_NONE, false);
}

/* ---- receiving: parts in, ops out ---- */

static uring_part *uring_part_first(const uring_handle *h) {
  return h->parts == NULL ? NULL : h->parts->next;
}

static void uring_part_append(uring_handle *h, uring_part *part) {
  part->next = h->parts == NULL ? part : h->parts->next;
  if (h->parts != NULL) h->parts->next = part;
  h->parts = part;
  if (h->parts_count < UINT8_MAX) h->parts_count++; /* uncovered: race: a burst before the stop is seen */
}

static uring_part *uring_part_pop(uring_handle *h) {
  uring_part *part = h->parts->next;
  if (part == h->parts) h->parts = NULL;
  else h->parts->next = part->next;
  if (h->parts_count > 0) h->parts_count--; /* uncovered: race: as above */
  return part;
}

/* Forgets the first n bytes of the first part. */
static void uring_part_consume(uring_handle *h, size_t n) {
  uring_part *part = uring_part_first(h);
  part->data += n;
  part->len -= (uint32_t)n;
  if (part->len == 0) uring_part_free(uring_port_of(h), uring_part_pop(h));
}

static void uring_give_back_taken(uring_handle *h) {
  if (h->taken == NULL) return;
  uring_part_free(uring_port_of(h), h->taken);
  h->taken = NULL;
}

static void uring_deliver_bytes(uring_handle *h, sock_op *op, packet_list *out) {
  if (h->parts == NULL) { /* then the end, or an error */
    uring_op_end(h, op, 0, h->ended < 0 ? h->ended : 0, out);
    return;
  }
  size_t filled;
  do {
    filled = sock_op_fill(op, uring_part_first(h)->data, uring_part_first(h)->len);
    uring_part_consume(h, filled);
  } while (filled > 0 && h->parts != NULL);
  uring_op_end(h, op, op->data.done, 0, out);
}

static void uring_deliver_connection(uring_handle *h, sock_op *op, packet_list *out) {
  if (h->parts == NULL) {
    int err = h->ended;
    h->ended = 0; /* the listener lives; it accepts again when the owner asks again */
    uring_op_end(h, op, 0, err, out);
    return;
  }
  uring_part *part = uring_part_pop(h);
  op->accepted.socket = part->socket;
  free(part);
  if (os_socket_peer(op->accepted.socket, &op->accepted.peer) < 0) op->accepted.peer.len = 0; /* gone already */
  uring_op_end(h, op, 0, 0, out);
}

/* Gives what has come to the ops that wait for it, in order. */
static void uring_deliver(uring_handle *h, packet_list *out) {
  while (sock_line_first(&h->recvs) != NULL && (h->parts != NULL || h->ended != 0 || h->readable)) {
    sock_op *op = sock_line_first(&h->recvs);
    if (op->kind == SOCK_ACCEPT) uring_deliver_connection(h, op, out);
    else if (op->kind == SOCK_RECV) uring_deliver_bytes(h, op, out);
    else uring_op_end(h, op, 0, 0, out);
  }
}

/* Makes the kernel tell of what comes next, for the op that waits. A receive that is being stopped must have ended
 * first: it could still bring bytes that come before those. */
static void uring_arm_input(uring_handle *h) {
  sock_op *op = sock_line_first(&h->recvs);
  if (op == NULL || uring_is_armed(h, URING_RECEIVE)) return;
  if (op->kind != SOCK_RECV_READY) h->bulk = h->readable = false; /* it has its own buffers */
  if (h->bulk) uring_arm_poll(h, URING_READABLE);
  else uring_arm_receive(h);
}

/* Receiving ended without a reason of the network: it is begun again if somebody waits. Out of buffers they have been
 * given back by then (uring_part_received sees to that). */
static bool uring_is_interruption(int res) {
  return res == -ECANCELED || res == -ENOBUFS || res == -EINTR || res == -EFAULT || res == -EAGAIN;
}

static void uring_on_received(uring_port *p, uring_handle *h, const struct io_uring_cqe *cqe, packet_list *out) {
  uring_part *part = NULL;
  if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
    uint32_t len = cqe->res > 0 ? (uint32_t)cqe->res : 0;
    part = uring_part_received(p, cqe->flags >> IORING_CQE_BUFFER_SHIFT, len);
    if (part == NULL) h->ended = PORTICO_ENOMEM; /* bytes are lost: the stream must not go on behind the hole */
  }
  if (part != NULL && (h->closing || part->len == 0)) uring_part_free(p, part); /* uncovered: older kernels: the end */
  else if (part != NULL) uring_part_append(h, part);
  if (h->closing) return;
  if (cqe->res == 0 && h->ended == 0) h->ended = URING_EOF;
  if (cqe->res < 0 && !uring_is_interruption(cqe->res)) h->ended = os_error(-cqe->res);
  uring_deliver(h, out);
  if (cqe->res == URING_BUFFER_BYTES) h->bulk = true;
  if (h->bulk || h->parts_count >= URING_PARTS_MAX) uring_disarm(h, URING_RECEIVE); /* the rest waits in the kernel */
  uring_arm_input(h);
}

static void uring_on_accepted(uring_handle *h, const struct io_uring_cqe *cqe, packet_list *out) {
  uring_part *part = cqe->res >= 0 && !h->closing ? malloc(sizeof *part) : NULL;
  if (part != NULL) {
    *part = (uring_part){.socket = cqe->res, .buffer = -1};
    uring_part_append(h, part);
  } else if (cqe->res >= 0) {
    os_socket_close(cqe->res);
  }
  if (h->closing) return;
  /* A peer that went away while it was queued is nobody's error. */
  bool silent = uring_is_interruption(cqe->res) || cqe->res == -ECONNABORTED || cqe->res == -EPROTO;
  if (cqe->res < 0 && !silent) h->ended = os_error(-cqe->res);
  bool failed = h->ended != 0;
  uring_deliver(h, out);
  if (failed) return;
  if (sock_line_first(&h->recvs) != NULL) uring_arm_accept(h);
  else if (h->parts_count >= URING_PARTS_MAX) uring_disarm(h, URING_ACCEPT);
}

/* ---- sending, connecting, datagrams: tried, and tried again ---- */

/* The request that receives may have been told of a reset first; a send is then only told that there is no peer. */
static int64_t uring_send_result(const uring_handle *h, int64_t result) {
  return result == PORTICO_EPIPE && !h->shut ? PORTICO_ECONNRESET : result;
}

static int64_t uring_try(uring_handle *h, sock_op *op) {
  if (op->kind != SOCK_SEND) return sock_try(op);
  return h->failed < 0 ? h->failed : uring_send_result(h, sock_try(op));
}

/* Tries the ops of a line in order until one has to wait. */
static void uring_progress(uring_handle *h, sock_line *l, packet_list *out) {
  while (sock_line_first(l) != NULL && (l == &h->recvs || h->out == NULL)) {
    sock_op *op = sock_line_first(l);
    int64_t   result = uring_try(h, op);
    if (result == PORTICO_EAGAIN) {
      uring_arm_poll(h, l == &h->recvs ? URING_READABLE : URING_WRITABLE);
      return;
    }
    if (op->kind == SOCK_CONNECT && result == 0) h->connected = true;
    uring_op_end(h, op, sock_bytes(op, result), result < 0 ? (int)result : 0, out);
  }
}

static void uring_on_readable(uring_handle *h, packet_list *out) {
  if (h->closing) return;
  if (h->base.kind == PORT_DATAGRAM) {
    uring_progress(h, &h->recvs, out);
    return;
  }
  h->readable = h->bulk;
  uring_deliver(h, out);
  uring_arm_input(h);
}

/* ---- bytes that leave with others ---- */

/* A place to copy bytes to; NULL if too many are in use. Begins the request, too. */
static uring_out *uring_out_begin(uring_port *p, struct io_uring_sqe **out_sqe) {
  *out_sqe = uring_begin(p);
  uring_out *out = p->outs;
  if (out != NULL) {
    p->outs = out->next;
  } else if (p->outs_count < URING_OUTS_MAX) {
    out = malloc(sizeof *out);
    if (out != NULL) p->outs_count++;
  }
  if (out == NULL) os_mutex_unlock(&p->lock);
  return out;
}

static void uring_outs_free(uring_port *p, uring_out *first, uring_out *last) {
  os_mutex_lock(&p->lock);
  last->next = p->outs;
  p->outs = first;
  os_mutex_unlock(&p->lock);
}

/* Sends what is left of h->out; `patient`: waits for room if need be. */
static void uring_out_send(uring_handle *h, struct io_uring_sqe *sqe, bool patient) {
  uring_port *p = uring_port_of(h);
  uring_out  *out = h->out;
  int         how = MSG_NOSIGNAL | MSG_WAITALL | (patient ? 0 : MSG_DONTWAIT);
  io_uring_prep_send(sqe, h->base.socket, out->data + out->begin, out->end - out->begin, how);
  if (!patient) {
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    out->handle = h;
    out->request = p->tail;
    out->next = NULL;
    if (p->sent != NULL) p->sent_last->next = out;
    else p->sent = out;
    p->sent_last = out;
  }
  uring_arm(h, URING_OUT, sqe, !patient);
}

/* The kernel has spoken about it after all. */
static void uring_sent_remove(uring_port *p, const uring_out *out) {
  os_mutex_lock(&p->lock);
  uring_out *before = NULL;
  for (uring_out *o = p->sent; o != NULL; before = o, o = o->next) {
    if (o != out) continue;
    if (before != NULL) before->next = o->next;
    else p->sent = o->next;
    if (p->sent_last == o) p->sent_last = before;
    break;
  }
  os_mutex_unlock(&p->lock);
}

/* h->out has left, or never will. What waited for that goes on. */
static void uring_out_is_over(uring_handle *h, packet_list *out) {
  h->out = NULL;
  if (h->closing) {
    if ((h->cancelled & 1u << URING_OUT) == 0) os_socket_close(h->base.socket); /* an abort has done that */
    return;
  }
  if (h->shut) os_socket_shutdown_send(h->base.socket);
  uring_progress(h, &h->sends, out);
}

static void uring_on_out(uring_port *p, uring_handle *h, const struct io_uring_cqe *cqe, packet_list *out) {
  uring_out *o = h->out;
  uring_sent_remove(p, o);
  if (cqe->res > 0) o->begin += (uint32_t)cqe->res;
  bool failed = cqe->res < 0 && !uring_is_interruption(cqe->res);
  bool aborted = (h->cancelled & 1u << URING_OUT) != 0; /* then the descriptor is another's by now */
  bool given_up = aborted || (h->closing && cqe->res == -ECANCELED);
  if (o->begin < o->end && !failed && !given_up) {
    uring_out_send(h, uring_begin(p), true);
    return;
  }
  if (failed) h->failed = (int)uring_send_result(h, os_error(-cqe->res));
  uring_out_is_over(h, out);
  uring_outs_free(p, o, o);
}

static void uring_handle_free(uring_handle *h) {
  os_mutex_fini(&h->lock);
  free(h);
}

/* A closed handle stays until its last request has ended; uring_handle_end frees it then. */
static void uring_handle_keep(uring_port *p, uring_handle *h) {
  os_mutex_lock(&p->lock);
  h->prev_closed = NULL;
  h->next_closed = p->closed;
  if (p->closed != NULL) p->closed->prev_closed = h;
  p->closed = h;
  os_mutex_unlock(&p->lock);
}

static void uring_handle_end(uring_port *p, uring_handle *h) {
  os_mutex_lock(&p->lock);
  if (h->prev_closed != NULL) h->prev_closed->next_closed = h->next_closed;
  else p->closed = h->next_closed;
  if (h->next_closed != NULL) h->next_closed->prev_closed = h->prev_closed;
  os_mutex_unlock(&p->lock);
  uring_handle_free(h);
}

/* Takes the oldest that were looked at off the list. */
static uring_out *uring_sent_pop(uring_port *p, unsigned looked_at) {
  os_mutex_lock(&p->lock);
  uring_out *first = p->sent, *last = NULL;
  while (p->sent != NULL && (int)(p->sent->request - looked_at) < 0) { /* uncovered: race: one that came since */
    last = p->sent;
    p->sent = last->next;
  }
  if (last != NULL) last->next = NULL;
  os_mutex_unlock(&p->lock);
  return last != NULL ? first : NULL;
}

void uring_on_sent(uring_port *p, unsigned looked_at, packet_list *out) {
  uring_out *first = uring_sent_pop(p, looked_at), *last = first;
  for (uring_out *o = first; o != NULL; last = o, o = o->next) {
    uring_handle *h = o->handle;
    os_mutex_lock(&h->lock);
    h->armed &= (uint8_t) ~(1u << URING_OUT);
    uring_out_is_over(h, out);
    bool over = h->armed == 0;
    os_mutex_unlock(&h->lock);
    if (over) uring_handle_end(p, h);
  }
  if (first != NULL) uring_outs_free(p, first, last);
}

/* ---- completions ---- */

void uring_on_completion(uring_port *p, const struct io_uring_cqe *cqe, packet_list *out) {
  uring_request request = (uring_request)(cqe->user_data & URING_REQUEST_MASK);
  uring_handle *h = (uring_handle *)(uintptr_t)(cqe->user_data & ~(uint64_t)URING_REQUEST_MASK);
  if (h == NULL) return;
  if (request == URING_FILE) {
    uring_on_file(p, (sock_op *)h, cqe->res, out);
    return;
  }
  os_mutex_lock(&h->lock);
  CHECK(uring_is_armed(h, request));
  if ((cqe->flags & IORING_CQE_F_MORE) == 0) h->armed &= (uint8_t)~(1u << request);
  switch (request) { /* uncovered: the default is a CHECK */
  case URING_RECEIVE: uring_on_received(p, h, cqe, out); break;
  case URING_ACCEPT: uring_on_accepted(h, cqe, out); break;
  case URING_OUT: uring_on_out(p, h, cqe, out); break;
  case URING_READABLE: uring_on_readable(h, out); break;
  case URING_WRITABLE: if (!h->closing) uring_progress(h, &h->sends, out); break;
  default: CHECK(!"a completion that nobody asked for");
  }
  bool over = h->armed == 0;
  os_mutex_unlock(&h->lock);
  if (over) uring_handle_end(p, h);
}

/* ---- handles ---- */

int uring_attach(port *p, port_handle *base) {
  uring_handle *h = uring_handle_of(base);
  if (port_queue_closed(&uring_of(p)->queue)) return PORTICO_ECLOSED;
  os_mutex_init(&h->lock);
  h->connected = base->kind == PORT_STREAM && os_socket_was_connected(base->socket);
  h->armed = 1u << URING_HELD;
  return 0;
}

static int uring_cancel_line(uring_handle *h, sock_line *l, packet_list *out) {
  int n = 0;
  for (sock_op *op = sock_line_first(l); op != NULL; op = sock_line_first(l), n++) {
    uring_op_end(h, op, sock_bytes(op, PORTICO_ECANCELED), PORTICO_ECANCELED, out);
  }
  return n;
}

static void uring_drop_parts(uring_handle *h) {
  uring_give_back_taken(h);
  while (h->parts != NULL) {
    uring_part *part = uring_part_pop(h);
    if (h->base.kind == PORT_LISTENER) os_socket_close(part->socket);
    uring_part_free(uring_port_of(h), part);
  }
}

void uring_handle_close(port_handle *base, bool abort) {
  uring_handle *h = uring_handle_of(base);
  uring_port   *p = uring_port_of(h);
  packet_list   ended = {0};
  if (base->kind == PORT_FILE) {
    uring_file_handle_close(base);
    return;
  }
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  h->closing = true;
  if (abort) os_socket_set_reset_on_close(base->socket);
  uring_cancel_line(h, &h->recvs, &ended);
  uring_cancel_line(h, &h->sends, &ended);
  uring_drop_parts(h);
  for (unsigned r = URING_RECEIVE; r < URING_HELD; r++) {
    if (r != URING_OUT || abort) uring_disarm(h, (uring_request)r); /* what was taken leaves before an orderly end */
  }
  bool named = h->armed != 1u << URING_HELD;
  bool later = h->out != NULL && !abort; /* uring_out_is_over closes the descriptor */
  os_mutex_unlock(&h->lock);
  if (named) uring_flush(p); /* before the descriptor's number can be another's */
  if (later) uring_await_sent(p);
  else os_socket_close(base->socket);
  port_queue_complete(&p->queue, &ended);
  os_mutex_lock(&h->lock);
  h->armed &= (uint8_t) ~(1u << URING_HELD);
  bool over = h->armed == 0;
  if (!over) uring_handle_keep(p, h);
  os_mutex_unlock(&h->lock);
  if (over) uring_handle_free(h);
  port_unref(&p->base);
}

/* ---- starting ops: each takes the handle's lock and gives it back ---- */

/* Locks h if an op may start on it. */
static int uring_enter(uring_handle *h, bool needs_peer) {
  if (port_queue_closed(uring_queue(h))) return PORTICO_ECLOSED;
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  if (!needs_peer || h->connected) return 0;
  os_mutex_unlock(&h->lock);
  return PORTICO_ENOTCONN;
}

static int uring_leave(uring_handle *h, int err) {
  os_mutex_unlock(&h->lock);
  return err;
}

/* Puts an op into its line. */
static void uring_op_begin(uring_handle *h, sock_op *op) {
  port_queue_started(uring_queue(h));
  atomic_store_explicit(&op->pending, 1, memory_order_relaxed);
  sock_line_append(uring_line_of(h, op), op);
}

static int uring_leave_and_complete(uring_handle *h, packet_list *ended) {
  os_mutex_unlock(&h->lock);
  if (ended->count > 0) port_queue_complete(uring_queue(h), ended);
  return 0;
}

/* Starts an op that is tried: at once if it is the first of its line. */
static int uring_start_tried(uring_handle *h, sock_op *op) {
  packet_list ended = {0};
  sock_line *l = uring_line_of(h, op);
  bool        first = sock_line_first(l) == NULL;
  uring_op_begin(h, op);
  if (first) uring_progress(h, l, &ended);
  if (sock_is_send(op) && h->out != NULL) uring_await_sent(uring_port_of(h));
  return uring_leave_and_complete(h, &ended);
}

/* Starts an op that waits for what a request brings, if it does not have it already. */
static int uring_start_waiting(uring_handle *h, sock_op *op) {
  packet_list ended = {0};
  uring_give_back_taken(h);
  uring_op_begin(h, op);
  if (op->kind == SOCK_RECV && op->data.done > 0) uring_op_end(h, op, op->data.done, 0, &ended);
  uring_deliver(h, &ended);
  if (sock_line_first(&h->recvs) != NULL) (op->kind == SOCK_ACCEPT ? uring_arm_accept : uring_arm_input)(h);
  return uring_leave_and_complete(h, &ended);
}

int uring_accept(port_handle *base, port_op *base_op) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, false);
  if (err < 0) return err;
  sock_op *op = sock_op_init(base_op, base, SOCK_ACCEPT);
  op->accepted.socket = OS_SOCKET_NONE;
  return uring_start_waiting(h, op);
}

os_socket uring_accepted(port_op *base_op, os_addr *out_peer) {
  sock_op *op = (sock_op *)base_op;
  os_socket s = op->accepted.socket;
  op->accepted.socket = OS_SOCKET_NONE;
  if (out_peer != NULL) *out_peer = op->accepted.peer;
  return s;
}

int uring_connect(port_handle *base, port_op *base_op, const os_addr *to) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, false);
  if (err < 0) return err;
  if (h->connected || sock_line_first(&h->sends) != NULL) return uring_leave(h, PORTICO_EISCONN);
  err = os_socket_connect(base->socket, to);
  if (err < 0 && err != PORTICO_EAGAIN) return uring_leave(h, err); /* uncovered: it never succeeds at once */
  return uring_start_tried(h, sock_op_init(base_op, base, SOCK_CONNECT));
}

/* With no request in the kernel that could come first, what is there already need not wait for one. */
static void uring_receive_now(uring_handle *h, sock_op *op) {
  bool in_line = sock_line_first(&h->recvs) != NULL || h->parts != NULL;
  if (in_line || h->ended != 0 || uring_is_armed(h, URING_RECEIVE)) return;
  int64_t n = sock_try(op);
  if (n == 0) h->ended = URING_EOF;
  else if (n < 0 && n != PORTICO_EAGAIN) h->ended = (int)n;
}

int uring_recv(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, true);
  if (err < 0) return err;
  const sock_op *first = sock_line_first(&h->recvs);
  if (first != NULL && first->kind == SOCK_RECV_READY) return uring_leave(h, PORTICO_EINVAL);
  sock_op *op = sock_op_init(base_op, base, SOCK_RECV);
  sock_op_use(op, bufs, count, NULL);
  err = sock_op_keep(op);
  if (err < 0) return uring_leave(h, err);
  uring_receive_now(h, op);
  return uring_start_waiting(h, op);
}

int uring_recv_ready(port_handle *base, port_op *base_op) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, true);
  if (err < 0) return err;
  if (sock_line_first(&h->recvs) != NULL) return uring_leave(h, PORTICO_EINVAL);
  return uring_start_waiting(h, sock_op_init(base_op, base, SOCK_RECV_READY));
}

/* Copies several parts together: one call of the receiver for all of them. */
static size_t uring_gather_parts(uring_handle *h, unsigned char *scratch, size_t cap) {
  size_t n = 0;
  while (h->parts != NULL && n < cap) {
    const uring_part *part = uring_part_first(h);
    size_t            len = part->len < cap - n ? part->len : cap - n;
    memcpy(scratch + n, part->data, len);
    n += len;
    uring_part_consume(h, len);
  }
  return n;
}

/* Receives straight into memory of the taker. */
static int64_t uring_take_bulk(uring_handle *h, unsigned char *scratch, size_t cap) {
  int64_t n = os_socket_recv(h->base.socket, scratch, cap);
  h->readable = n == (int64_t)cap;
  if (n == 0) h->ended = URING_EOF;
  else if (n < 0 && n != PORTICO_EAGAIN) h->ended = (int)n;
  if (n >= 0 && n < URING_BULK_MIN && !h->readable) h->bulk = false;
  return n;
}

/* All that is there, up to cap: parts, and in bulk what the kernel has behind them. */
static int64_t uring_take_more(uring_handle *h, unsigned char *scratch, size_t cap) {
  int64_t parts = (int64_t)uring_gather_parts(h, scratch, cap);
  if (!h->bulk || h->ended != 0 || h->parts != NULL || uring_is_armed(h, URING_RECEIVE)) return parts;
  if ((size_t)parts == cap) return parts;
  int64_t n = uring_take_bulk(h, scratch + parts, cap - (size_t)parts);
  return parts > 0 ? parts + (n > 0 ? n : 0) : n;
}

int64_t uring_take(port_handle *base, port_op *op, void *scratch, size_t cap, const void **out_data) {
  (void)op;
  uring_handle *h = uring_handle_of(base);
  os_mutex_lock(&h->lock);
  CHECK(!h->closing);
  uring_give_back_taken(h);
  uring_part *part = uring_part_first(h);
  int64_t     n;
  if (part == NULL && h->ended != 0) {
    n = h->ended == URING_EOF ? 0 : h->ended;
  } else if (part != NULL && !h->bulk && part == h->parts && part->len <= cap) {
    n = part->len;
    *out_data = part->data;
    h->taken = uring_part_pop(h);
  } else {
    n = uring_take_more(h, scratch, cap);
    if (n == 0) n = h->ended == 0 ? PORTICO_EAGAIN : 0;
    if (n > 0) *out_data = scratch;
  }
  os_mutex_unlock(&h->lock);
  return n;
}

int uring_send(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, true);
  if (err < 0) return err;
  if (h->shut) return uring_leave(h, PORTICO_ESHUTDOWN);
  sock_op *op = sock_op_init(base_op, base, SOCK_SEND);
  sock_op_use(op, bufs, count, NULL);
  err = sock_op_keep(op);
  return err < 0 ? uring_leave(h, err) : uring_start_tried(h, op);
}

/* Locks h if bytes may go to the kernel right now. */
static int uring_enter_to_send(uring_handle *h) {
  int err = uring_enter(h, true);
  if (err < 0) return err;
  if (h->shut) err = PORTICO_ESHUTDOWN;
  else if (h->failed < 0) err = h->failed;
  else if (sock_line_first(&h->sends) != NULL || h->out != NULL) err = PORTICO_EAGAIN;
  return err < 0 ? uring_leave(h, err) : 0;
}

int64_t uring_try_send(port_handle *base, const port_buf *bufs, unsigned count) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter_to_send(h);
  if (err < 0) return err;
  int64_t n = uring_send_result(h, sock_offer(base->socket, bufs, count));
  os_mutex_unlock(&h->lock);
  return n;
}

int64_t uring_send_soon(port_handle *base, const port_buf *bufs, unsigned count) {
  size_t bytes = 0;
  for (unsigned i = 0; i < count && bytes <= URING_OUT_BYTES; i++) bytes += bufs[i].len;
  if (bytes > URING_OUT_BYTES) return uring_try_send(base, bufs, count);
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter_to_send(h);
  if (err < 0) return err;
  struct io_uring_sqe *sqe;
  h->out = uring_out_begin(uring_port_of(h), &sqe);
  if (h->out == NULL) {
    os_mutex_unlock(&h->lock);
    return uring_try_send(base, bufs, count);
  }
  h->out->begin = h->out->end = 0;
  for (unsigned i = 0; i < count; i++) {
    memcpy(h->out->data + h->out->end, bufs[i].data, bufs[i].len);
    h->out->end += (uint32_t)bufs[i].len;
  }
  uring_out_send(h, sqe, false);
  os_mutex_unlock(&h->lock);
  return (int64_t)bytes;
}

int uring_recv_from(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, os_addr *out_from) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, false);
  if (err < 0) return err;
  sock_op *op = sock_op_init(base_op, base, SOCK_RECV_FROM);
  sock_op_use(op, bufs, count, out_from);
  err = sock_op_keep(op);
  return err < 0 ? uring_leave(h, err) : uring_start_tried(h, op);
}

int uring_send_to(port_handle *base, port_op *base_op, const port_buf *bufs, unsigned count, const os_addr *to) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, false);
  if (err < 0) return err;
  sock_op *op = sock_op_init(base_op, base, SOCK_SEND_TO);
  sock_op_use(op, bufs, count, (os_addr *)to);
  err = sock_op_keep(op);
  return err < 0 ? uring_leave(h, err) : uring_start_tried(h, op);
}

int uring_shutdown_send(port_handle *base) {
  uring_handle *h = uring_handle_of(base);
  int           err = uring_enter(h, true);
  if (err < 0) return err;
  if (h->shut) return uring_leave(h, PORTICO_ESHUTDOWN);
  h->shut = true;
  if (h->out == NULL) return uring_leave(h, os_socket_shutdown_send(base->socket));
  uring_await_sent(uring_port_of(h)); /* uring_out_is_over does it */
  return uring_leave(h, 0);
}

/* ---- cancel ---- */

/* With nobody left who wants it, what is to come is left in the kernel. */
static void uring_stop_receiving(uring_handle *h) {
  if (sock_line_first(&h->recvs) != NULL) return;
  uring_disarm(h, URING_RECEIVE);
  uring_disarm(h, URING_ACCEPT);
  uring_flush(uring_port_of(h));
}

int uring_cancel(port_op *base) {
  sock_op *op = (sock_op *)base;
  if (op->kind == SOCK_TIMER) return port_queue_timer_cancel(op->queue, &op->timer);
  if (!atomic_load_explicit(&op->pending, memory_order_acquire)) return PORTICO_ENOTFOUND;
  if (sock_is_file(op)) return uring_file_cancel(op);
  uring_handle *h = uring_handle_of(op->handle);
  packet_list   ended = {0};
  os_mutex_lock(&h->lock);
  if (atomic_load_explicit(&op->pending, memory_order_relaxed)) { /* uncovered: race: it has just ended */
    uring_op_end(h, op, sock_bytes(op, PORTICO_ECANCELED), PORTICO_ECANCELED, &ended);
    uring_stop_receiving(h);
  }
  os_mutex_unlock(&h->lock);
  if (ended.count == 0) return PORTICO_ENOTFOUND; /* uncovered: race: it ended by itself meanwhile */
  port_queue_complete(uring_queue(h), &ended);
  return 0;
}

int uring_cancel_all(port_handle *base) {
  uring_handle *h = uring_handle_of(base);
  packet_list   ended = {0};
  if (base->kind == PORT_FILE) return uring_file_cancel_all(base);
  os_mutex_lock(&h->lock);
  int n = uring_cancel_line(h, &h->recvs, &ended) + uring_cancel_line(h, &h->sends, &ended);
  uring_stop_receiving(h);
  os_mutex_unlock(&h->lock);
  port_queue_complete(uring_queue(h), &ended);
  return n;
}
