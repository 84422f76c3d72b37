// File I/O for the block storages: io_uring through liburing, and threads that make blocking calls,
// behind the same functions.
//
// Functions return 0 or a count on success and a negative errno on failure; they never touch errno.
#ifndef CBLOCKSTORAGE_LINUX_H
#define CBLOCKSTORAGE_LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/// What an operation does.
enum {
  CBS_READ = 0,   ///< preadv into `vectors`
  CBS_WRITE = 1,  ///< pwritev of `vectors`, with RWF_DSYNC when durable
  CBS_SYNC = 2,   ///< fdatasync
  CBS_PUNCH = 3,  ///< fallocate: a hole of `byte_count` bytes; the file keeps its size
  CBS_ZERO = 4,   ///< fallocate: zeros that stay allocated; the file keeps its size
};

/// One call to carry out. `vectors` and the memory stay valid until its completion was reaped.
typedef struct cbs_operation {
  int32_t descriptor;
  uint8_t code;
  bool is_durable;
  uint32_t vector_count;  // at most CBS_MAX_VECTORS
  const struct iovec *vectors;
  uint64_t offset;
  uint64_t byte_count;  // of CBS_PUNCH and CBS_ZERO
} cbs_operation;

/// The most vectors that the kernel takes in one call (UIO_MAXIOV).
#define CBS_MAX_VECTORS 1024

/// How an operation ended: bytes moved or 0, or a negative errno.
typedef struct cbs_completion {
  uint64_t tag;
  int64_t result;
} cbs_completion;

/// Carries operations out. All calls from one thread at a time.
typedef struct cbs_engine cbs_engine;

/// An engine over io_uring, with room for `capacity` operations. -ENOSYS or -EPERM where the kernel
/// refuses.
int cbs_ring_engine(uint32_t capacity, cbs_engine **engine);

/// An engine of at most `thread_count` threads, started as needed.
int cbs_thread_engine(uint32_t capacity, uint32_t thread_count, cbs_engine **engine);

/// Ends an engine that has nothing in flight.
void cbs_free(cbs_engine *engine);

/// Becomes readable when there are completions to reap.
int cbs_descriptor(const cbs_engine *engine);

/// Takes an operation, to be handed over by cbs_kick. At most `capacity` may be in flight.
/// Returns 0, or a negative errno when the kernel takes no more for now.
int cbs_start(cbs_engine *engine, const cbs_operation *operation, uint64_t tag);

/// Hands over what was started. A negative errno: some is left; call again later.
int cbs_kick(cbs_engine *engine);

/// Takes up to `capacity` completions, without a system call unless the kernel asks for one.
uint32_t cbs_reap(cbs_engine *engine, cbs_completion *completions, uint32_t capacity);

/// Waits until there is a completion to reap; only while something is in flight.
void cbs_wait(cbs_engine *engine);

/// Takes the whole-file lock of this open file (OFD) without waiting. -EAGAIN when another has one
/// that excludes it.
int cbs_lock(int descriptor, bool exclusive);

/// O_DIRECT, which the C library shows to GNU sources alone.
extern const int cbs_o_direct;

/// What direct I/O on an open file has to be aligned to, in bytes: memory, and offset and length.
void cbs_direct_alignment(int descriptor, uint32_t *memory, uint32_t *offset);

/// Whether the file system punches holes into this file, which ends at `byte_count`.
bool cbs_can_punch(int descriptor, uint64_t byte_count);

/// CBS_ZEROS_BYTE_COUNT zeros, page-aligned. Nobody writes there.
const void *cbs_zeros(void);
#define CBS_ZEROS_BYTE_COUNT 65536

#endif
