#define _GNU_SOURCE
#include "CVFIOUserLinux.h"
#include <sys/uio.h>

int cvfu_event_signal(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  if (!(flags & O_NONBLOCK)) {
    struct pollfd state = {.fd = descriptor, .events = POLLOUT};
    if (poll(&state, 1, 0) != 1 || !(state.revents & POLLOUT)) return -EAGAIN;
  }
  uint64_t one = 1;
  return write(descriptor, &one, sizeof one) < 0 ? -errno : 0;
}

int cvfu_event_consume(int descriptor) {
  uint64_t value;
  struct iovec vector = {.iov_base = &value, .iov_len = sizeof value};
  // The flag is this call's own, whatever the peer does to the open file that both share.
  if (preadv2(descriptor, &vector, 1, -1, RWF_NOWAIT) >= 0) return 0;
  return -errno;
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
