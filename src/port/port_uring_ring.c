/* port_uring_ring.c - the ring: requests in, completions out, the buffers that receives share. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "port/port_uring.h"

enum { URING_SIGNAL_SET_BYTES = 8, URING_PAGE_BYTES = 4096 };

static unsigned ring_load(const unsigned *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void ring_store(unsigned *at, unsigned value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* ---- requests ---- */

/* How many are published and not yet with the kernel. */
static unsigned uring_published(const uring_port *p) {
  return ring_load(p->ring.sq.ktail) - ring_load(p->ring.sq.khead);
}

void uring_submit(uring_port *p) {
  for (;;) {
    int r = io_uring_enter((unsigned)p->ring.ring_fd, uring_published(p), 0, 0, NULL);
    if (r == -EINTR) continue;
    /* No memory right now, or completions are to be reaped first: the requests stay where they are. A leader who is
     * awake takes them along; one who sleeps would not even know. */
    if ((r != -EAGAIN && r != -EBUSY) || !atomic_load(&p->asleep)) return;
    os_thread_yield();
  }
}

void uring_flush(uring_port *p) {
  if (uring_published(p) > 0) uring_submit(p);
}

struct io_uring_sqe *uring_begin(uring_port *p) {
  os_mutex_lock(&p->lock);
  while (p->tail - ring_load(p->ring.sq.khead) == URING_ENTRIES) {
    os_mutex_unlock(&p->lock);
    uring_submit(p);
    os_mutex_lock(&p->lock);
  }
  return &p->ring.sq.sqes[p->tail & (URING_ENTRIES - 1)];
}

void uring_end(uring_port *p, struct io_uring_sqe *sqe, const void *named, uring_request request, bool flushed) {
  sqe->user_data = (uintptr_t)named | request;
  ring_store(p->ring.sq.ktail, ++p->tail);
  os_mutex_unlock(&p->lock);
  if (flushed) return;
  /* A leader that was not asleep yet will see the new tail: one of the two comes first for both. */
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load_explicit(&p->asleep, memory_order_relaxed)) uring_submit(p);
}

/* ---- buffers ---- */

/* Puts back what nobody reads any more. */
static void uring_refill(uring_port *p) {
  uring_part *part = atomic_exchange_explicit(&p->returned, NULL, memory_order_acquire);
  unsigned    n = 0;
  for (; part != NULL; part = part->next) {
    unsigned char *at = p->buffer_bytes + (size_t)part->buffer * URING_BUFFER_STRIDE;
    unsigned short number = (unsigned short)part->buffer;
    io_uring_buf_ring_add(p->buffers, at, URING_BUFFER_BYTES, number, URING_BUFFERS - 1, (int)n++);
  }
  if (n == 0) return;
  io_uring_buf_ring_advance(p->buffers, (int)n);
  p->buffers_free += n;
}

void uring_part_free(uring_port *p, uring_part *part) {
  if (part->buffer < 0) {
    free(part);
    return;
  }
  part->next = atomic_load_explicit(&p->returned, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&p->returned, &part->next, part, memory_order_release,
                                                memory_order_relaxed)) {
  }
}

uring_part *uring_part_received(uring_port *p, unsigned buffer, uint32_t len) {
  uring_part *part = &p->parts[buffer];
  part->buffer = (int)buffer;
  part->data = p->buffer_bytes + (size_t)buffer * URING_BUFFER_STRIDE;
  part->len = len;
  if (--p->buffers_free >= URING_BUFFERS / 4) return part;
  uring_part *copy = malloc(sizeof *copy + len);
  if (copy != NULL) {
    *copy = (uring_part){.data = (unsigned char *)(copy + 1), .len = len, .buffer = -1};
    memcpy(copy->data, part->data, len);
  }
  uring_part_free(p, part);
  return copy;
}

/* ---- completions ---- */

bool uring_has_next(const uring_port *p) {
  return *p->ring.cq.khead != ring_load(p->ring.cq.ktail);
}

void uring_wait(uring_port *p, int64_t until_ns) {
  struct __kernel_timespec      limit = {0};
  struct io_uring_getevents_arg arg = {.sigmask_sz = URING_SIGNAL_SET_BYTES};
  if (until_ns != INT64_MAX && until_ns != 0) {
    int64_t left = until_ns - os_clock_now();
    if (left > 0) limit = (struct __kernel_timespec){.tv_sec = left / OS_NS_PER_S, .tv_nsec = left % OS_NS_PER_S};
  }
  if (until_ns != INT64_MAX) arg.ts = (uintptr_t)&limit;
  uring_refill(p);
  atomic_store(&p->asleep, true); /* who publishes from here on submits; what is there already is submitted below */
  unsigned submit = uring_published(p);
  bool     there = uring_has_next(p) || atomic_exchange(&p->awaited, false);
  if (submit > 0 || !there) {
    int r = io_uring_enter2((unsigned)p->ring.ring_fd, submit, there || until_ns == 0 ? 0 : 1,
                            IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, (void *)&arg, sizeof arg);
    /* Not all were taken: what waits for them to have left is looked at after the next try, before a sleep. */
    if (submit > 0 && r < (int)submit) atomic_store(&p->awaited, true);
  }
  atomic_store_explicit(&p->asleep, false, memory_order_relaxed);
}

bool uring_next(uring_port *p, struct io_uring_cqe *out) {
  unsigned head = *p->ring.cq.khead;
  if (head == ring_load(p->ring.cq.ktail)) return false;
  ring_load(p->ring.sq.ktail); /* orders what was written to a handle before its request went to the kernel */
  *out = p->ring.cq.cqes[head & *p->ring.cq.kring_mask];
  ring_store(p->ring.cq.khead, head + 1);
  return true;
}

unsigned uring_looked_at(const uring_port *p) {
  return ring_load(p->ring.sq.khead);
}

/* ---- proof ---- */

/* One byte through a connection of our own, received by a request of the kind that everything depends on. */
static int uring_prove_receive(uring_port *p, const int ends[2]) {
  struct io_uring_sqe *sqe = uring_begin(p);
  io_uring_prep_recv_multishot(sqe, ends[0], NULL, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  uring_end(p, sqe, NULL, URING_NONE, true);
  if (send(ends[1], "x", 1, MSG_NOSIGNAL) != 1 || shutdown(ends[1], SHUT_WR) != 0) return os_error(errno);
  int64_t             end = os_clock_now() + OS_NS_PER_S;
  struct io_uring_cqe cqe;
  bool                byte = false;
  while (os_clock_now() < end) { /* uncovered: a kernel that answers otherwise, or not, is not at hand */
    uring_wait(p, end);
    while (uring_next(p, &cqe)) {
      if (cqe.res < 0) return os_error(-cqe.res);
      if (cqe.res == 0) return byte ? 0 : PORTICO_ENOTSUP; /* the end: the request is over, too */
      const unsigned both = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
      if (cqe.res != 1 || (cqe.flags & both) != both) return PORTICO_ENOTSUP;
      unsigned buffer = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
      byte = buffer < URING_BUFFERS && p->buffer_bytes[(size_t)buffer * URING_BUFFER_STRIDE] == 'x';
      uring_part_free(p, uring_part_received(p, buffer, 1));
    }
  }
  return PORTICO_ETIMEDOUT; /* uncovered: as above */
}

static int uring_prove(uring_port *p) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return os_error(errno);
  int err = uring_prove_receive(p, ends);
  close(ends[0]);
  close(ends[1]);
  return err;
}

/* ---- life cycle ---- */

static int uring_buffers_open(uring_port *p) {
  size_t pages = (URING_BUFFERS * sizeof(struct io_uring_buf) + URING_PAGE_BYTES - 1) / URING_PAGE_BYTES;
  size_t ring_bytes = pages * URING_PAGE_BYTES; /* of its alignment, whole pages only can be had */
  p->buffers = aligned_alloc(URING_PAGE_BYTES, ring_bytes);
  p->buffer_bytes = malloc((size_t)URING_BUFFERS * URING_BUFFER_STRIDE); /* touched as it is used */
  if (p->buffers == NULL || p->buffer_bytes == NULL) return PORTICO_ENOMEM;
  memset(p->buffers, 0, ring_bytes);
  struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)p->buffers, .ring_entries = URING_BUFFERS};
  int                     r = io_uring_register_buf_ring(&p->ring, &reg, 0);
  if (r < 0) return r == -EINVAL ? PORTICO_ENOTSUP : os_error(-r);
  for (int i = URING_BUFFERS - 1; i >= 0; i--) {
    p->parts[i].buffer = i;
    uring_part_free(p, &p->parts[i]);
  }
  return 0;
}

static int uring_queues_open(uring_port *p) {
  /* COOP_TASKRUN: completions are made when the submitting thread is in the kernel anyway, not by interrupting it. */
  struct io_uring_params params = {.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE,
                                   .cq_entries = URING_COMPLETIONS};
  int                    r = io_uring_queue_init_params(URING_ENTRIES, &p->ring, &params);
  if (r == -EINVAL || r == -ENOSYS || r == -EPERM) return r == -EPERM ? PORTICO_EACCES : PORTICO_ENOTSUP;
  if (r < 0) return os_error(-r);
  for (unsigned i = 0; i < URING_ENTRIES; i++) p->ring.sq.array[i] = i;
  p->tail = *p->ring.sq.ktail;
  return 0;
}

static void uring_buffers_close(uring_port *p) {
  free(p->buffers);
  free(p->buffer_bytes);
}

int uring_ring_open(uring_port *p, const char **out_what) {
  *out_what = "io_uring_setup";
  int err = uring_queues_open(p);
  if (err < 0) return err;
  os_mutex_init(&p->lock);
  *out_what = "registering a ring of buffers";
  err = uring_buffers_open(p);
  if (err == 0) {
    *out_what = "a multishot receive";
    err = uring_prove(p);
  }
  if (err == 0) return 0;
  os_mutex_fini(&p->lock);
  io_uring_queue_exit(&p->ring);
  uring_buffers_close(p);
  return err;
}

void uring_ring_close(uring_port *p) {
  io_uring_queue_exit(&p->ring);
  while (p->outs != NULL) {
    uring_out *out = p->outs;
    p->outs = out->next;
    free(out);
  }
  os_mutex_fini(&p->lock);
  uring_buffers_close(p);
}
