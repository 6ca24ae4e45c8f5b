/* fault_uring.c - the wrappers for what liburing does for a port: a ring, its buffers, handing over requests; and what
 * the kernel says of them. */
#include <errno.h>
#include <liburing.h>

#include "faults/fault.h"

enum { REQUEST_MASK = 7, REQUEST_ACCEPT = 2 }; /* low bits of user_data, see port/port_uring.h */

static struct io_uring *fault_ring; /* the last one made */
static unsigned         fault_seen; /* completions before this one have been counted */

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *p) {
  int err = fault_now(FAULT_RING_SETUP);
  if (err != 0) return -err;
  fault_ring = ring;
  fault_seen = 0;
  return __real_io_uring_queue_init_params(entries, ring, p);
}

int __real_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg, unsigned flags);
int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg, unsigned flags);
int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg, unsigned flags) {
  int err = fault_now(FAULT_RING_BUFFERS);
  return err != 0 ? -err : __real_io_uring_register_buf_ring(ring, reg, flags);
}

/* The last completion of a request that brought nothing, which would be lost. */
static bool fault_may_change(const struct io_uring_cqe *cqe) {
  if ((cqe->flags & (IORING_CQE_F_MORE | IORING_CQE_F_BUFFER)) != 0) return false;
  return (cqe->user_data & REQUEST_MASK) != REQUEST_ACCEPT || cqe->res < 0;
}

/* Changes what a call has brought. For tests with one thread only: nobody may be reading it. */
static void fault_change_results(int fd) {
  if (!fault_planned(FAULT_RING_RESULT) || fd != fault_ring->ring_fd) return;
  unsigned tail = __atomic_load_n(fault_ring->cq.ktail, __ATOMIC_ACQUIRE), head = *fault_ring->cq.khead;
  if (tail - fault_seen > tail - head) fault_seen = head;
  for (; fault_seen != tail; fault_seen++) {
    struct io_uring_cqe *cqe = &fault_ring->cq.cqes[fault_seen & *fault_ring->cq.kring_mask];
    int                  err = fault_may_change(cqe) ? fault_now(FAULT_RING_RESULT) : 0;
    if (err != 0) cqe->res = -err;
  }
}

int __real_io_uring_enter(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *mask);
int __wrap_io_uring_enter(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *mask);
int __wrap_io_uring_enter(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *mask) {
  int err = fault_now(FAULT_RING_SUBMIT);
  if (err != 0) return -err;
  int result = __real_io_uring_enter(fd, submit, wait, flags, mask);
  fault_change_results((int)fd);
  return result;
}

int __real_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *mask, size_t size);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *mask, size_t size);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned wait, unsigned flags, sigset_t *mask, size_t size) {
  int err = fault_now(FAULT_RING_SUBMIT);
  if (err != 0) return -err;
  int result = __real_io_uring_enter2(fd, submit, wait, flags, mask, size);
  fault_change_results((int)fd);
  return result;
}
