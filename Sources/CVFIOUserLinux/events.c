#define _GNU_SOURCE
#include "CVFIOUserLinux.h"
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <sys/uio.h>

// write(2) on an eventfd blocks where the counter is full and the open file is blocking, and a peer that
// shares the open file can make it both between any look and the write. No flag of a single write helps:
// pwritev2(2) takes none for eventfds. But the kernel itself raises an eventfd when a request of its
// asynchronous I/O has ended (IOCB_FLAG_RESFD), and that never waits, whatever the counter and the flags.
// So each signal is such a request, one that fails at once: to read less from an eventfd than it holds.
enum { REQUESTS = 128, TRIES = 8 };
static pthread_once_t once = PTHREAD_ONCE_INIT;
static aio_context_t requests;

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
// The thread sanitizer knows that write(2) comes before the read(2) that takes it. Of requests it knows nothing.
void __tsan_acquire(void *);
void __tsan_release(void *);
static char marks[1024];
#define WILL_RAISE(descriptor) __tsan_release(&marks[(unsigned)(descriptor) % sizeof marks])
#define HAS_TAKEN(descriptor) __tsan_acquire(&marks[(unsigned)(descriptor) % sizeof marks])
#endif
#endif
#ifndef WILL_RAISE
#define WILL_RAISE(descriptor) ((void)(descriptor))
#define HAS_TAKEN(descriptor) ((void)(descriptor))
#endif

static void prepare_requests(void) {
  aio_context_t made = 0;
  if (syscall(SYS_io_setup, REQUESTS, &made) == 0) requests = made;
}

// Returns 0, or -errno when there is no asynchronous I/O here or it does not take the request.
static int raise_by_request(int descriptor) {
  pthread_once(&once, prepare_requests);
  if (!requests) return -ENOSYS;
  char byte;
  struct iocb request = {
    .aio_lio_opcode = IOCB_CMD_PREAD,
    .aio_fildes = (uint32_t)descriptor,
    .aio_buf = (uint64_t)(uintptr_t)&byte,
    .aio_flags = IOCB_FLAG_RESFD,
    .aio_resfd = (uint32_t)descriptor,
  };
  struct iocb *list[] = {&request};
  for (int i = 0; i < TRIES; i++) {
    if (syscall(SYS_io_submit, requests, 1L, list) == 1) return 0;
    if (errno != EAGAIN) return -errno;
    // So many have ended that there is no room: what they have to say is of no interest.
    struct io_event events[REQUESTS];
    struct timespec now = {0};
    syscall(SYS_io_getevents, requests, 0L, (long)REQUESTS, events, &now);
  }
  return -EAGAIN;
}

bool cvfu_event_signal_is_safe(void) {
  pthread_once(&once, prepare_requests);
  return requests != 0;
}

int cvfu_event_signal(int descriptor) {
  WILL_RAISE(descriptor);
  if (raise_by_request(descriptor) == 0) return 0;
  // A kernel or a sandbox without it (a child after fork, too): a look, and then the write. A peer that
  // strikes in between blocks this call until it takes the counter, or a signal comes.
  struct pollfd state = {.fd = descriptor, .events = POLLOUT};
  if (poll(&state, 1, 0) != 1 || !(state.revents & POLLOUT)) return -EAGAIN;
  uint64_t one = 1;
  return write(descriptor, &one, sizeof one) < 0 ? -errno : 0;
}

int cvfu_event_take(int descriptor, uint64_t *value) {
  struct iovec vector = {.iov_base = value, .iov_len = sizeof *value};
  // The flag is this call's own, whatever the peer does to the open file that both share.
  if (preadv2(descriptor, &vector, 1, -1, RWF_NOWAIT) < 0) {
    if (errno != EOPNOTSUPP) return -errno;
    // Before Linux 5.8: a look, and then the read.
    struct pollfd state = {.fd = descriptor, .events = POLLIN};
    if (poll(&state, 1, 0) != 1 || !(state.revents & POLLIN)) return -EAGAIN;
    if (read(descriptor, value, sizeof *value) < 0) return -errno;
  }
  HAS_TAKEN(descriptor);
  return 0;
}

int cvfu_event_consume(int descriptor) {
  uint64_t value;
  return cvfu_event_take(descriptor, &value);
}

int cvfu_event_wait(int event, int liveness, int milliseconds) {
  struct pollfd states[2] = {{.fd = event, .events = POLLIN},
                             {.fd = liveness, .events = POLLRDHUP}};
  int count = poll(states, 2, milliseconds);
  if (count < 0) return -errno;
  int result = 0;
  if (states[0].revents & POLLIN) result |= CVFU_EVENT_RAISED;
  if ((states[0].revents & ~POLLIN) || states[1].revents) result |= CVFU_PEER_GONE;
  return result;
}
