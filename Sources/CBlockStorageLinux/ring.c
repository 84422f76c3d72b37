// Operations on an io_uring.
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

struct ring_engine {
  cbs_engine base;
  struct io_uring ring;
};

static struct ring_engine *ring_of(cbs_engine *engine) { return (struct ring_engine *)engine; }

static void ring_free(cbs_engine *engine) {
  io_uring_queue_exit(&ring_of(engine)->ring);
  free(engine);
}

static int ring_kick(cbs_engine *engine) {
  struct io_uring *ring = &ring_of(engine)->ring;
  while (io_uring_sq_ready(ring) > 0) {
    int result = io_uring_submit(ring);
    if (result == -EINTR) continue;
    if (result < 0) return result;
    if (result == 0) return -EAGAIN;
  }
  return 0;
}

static int ring_start(cbs_engine *engine, const cbs_operation *operation, uint64_t tag) {
  struct io_uring *ring = &ring_of(engine)->ring;
  struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
  if (!sqe) {
    int result = ring_kick(engine);
    if (result < 0) return result;
    sqe = io_uring_get_sqe(ring);
    if (!sqe) return -EAGAIN;
  }
  const struct iovec *vectors = operation->vectors;
  int descriptor = operation->descriptor;
  switch (operation->code) {
  case CBS_READ:
    if (operation->vector_count == 1 && vectors->iov_len <= INT32_MAX)
      io_uring_prep_read(sqe, descriptor, vectors->iov_base, (unsigned)vectors->iov_len,
                         operation->offset);
    else
      io_uring_prep_readv(sqe, descriptor, vectors, operation->vector_count, operation->offset);
    break;
  case CBS_WRITE:
    if (operation->vector_count == 1 && vectors->iov_len <= INT32_MAX)
      io_uring_prep_write(sqe, descriptor, vectors->iov_base, (unsigned)vectors->iov_len,
                          operation->offset);
    else
      io_uring_prep_writev(sqe, descriptor, vectors, operation->vector_count, operation->offset);
    if (operation->is_durable) sqe->rw_flags = RWF_DSYNC;
    break;
  case CBS_SYNC: io_uring_prep_fsync(sqe, descriptor, IORING_FSYNC_DATASYNC); break;
  case CBS_PUNCH:
    io_uring_prep_fallocate(sqe, descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                            (off_t)operation->offset, (off_t)operation->byte_count);
    break;
  default:
    io_uring_prep_fallocate(sqe, descriptor, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                            (off_t)operation->offset, (off_t)operation->byte_count);
    break;
  }
  io_uring_sqe_set_data64(sqe, tag);
  return 0;
}

static uint32_t ring_take(struct io_uring *ring, cbs_completion *completions, uint32_t capacity) {
  struct io_uring_cqe *cqe;
  unsigned head;
  uint32_t count = 0;
  io_uring_for_each_cqe(ring, head, cqe) {
    if (count == capacity) break;
    completions[count].tag = cqe->user_data;
    completions[count].result = cqe->res;
    count++;
  }
  if (count) io_uring_cq_advance(ring, count);
  return count;
}

static uint32_t ring_reap(cbs_engine *engine, cbs_completion *completions, uint32_t capacity) {
  struct io_uring *ring = &ring_of(engine)->ring;
  uint32_t count = ring_take(ring, completions, capacity);
  // With cooperative task work the kernel says in the ring that it has completions to finish.
  if (count == 0 &&
      (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))) {
    io_uring_get_events(ring);
    count = ring_take(ring, completions, capacity);
  }
  return count;
}

static void ring_wait(cbs_engine *engine) {
  struct io_uring_cqe *cqe;
  ring_kick(engine);
  while (io_uring_wait_cqe(&ring_of(engine)->ring, &cqe) == -EINTR) {}
}

static bool ring_has_operations(struct io_uring *ring) {
  static const uint8_t wanted[] = {IORING_OP_READ,   IORING_OP_READV, IORING_OP_WRITE,
                                   IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE};
  struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
  bool has = probe != NULL;
  for (size_t index = 0; has && index < sizeof wanted; index++)
    has = io_uring_opcode_supported(probe, wanted[index]);
  io_uring_free_probe(probe);
  return has;
}

int cbs_ring_engine(uint32_t capacity, cbs_engine **engine) {
  static const struct cbs_kind kind = {ring_free, ring_start, ring_kick, ring_reap, ring_wait};
  // The first form needs Linux 5.19.
  static const unsigned flags[] = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
  struct ring_engine *result = calloc(1, sizeof *result);
  if (!result) return -ENOMEM;
  int error = 0;
  for (size_t index = 0; index < sizeof flags / sizeof flags[0]; index++) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = flags[index];
    error = io_uring_queue_init_params(capacity, &result->ring, &parameters);
    if (error != -EINVAL) break;
  }
  if (error < 0) {
    free(result);
    return error;
  }
  if (!ring_has_operations(&result->ring)) {
    ring_free(&result->base);
    return -ENOSYS;
  }
  result->base.kind = &kind;
  result->base.descriptor = result->ring.ring_fd;
  *engine = &result->base;
  return 0;
}
