#define _GNU_SOURCE
#include "CVFIOUserLinux.h"

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * CVFU_MAX_DESCRIPTORS)];
};

ssize_t cvfu_receive(int socket, void *buffer, size_t byte_count, int *descriptors,
                     size_t *descriptor_count, bool *truncated, bool waiting) {
  union control control;
  struct iovec vector = {.iov_base = buffer, .iov_len = byte_count};
  struct msghdr message = {
      .msg_iov = &vector,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      .msg_controllen = sizeof(control.bytes),
  };
  *descriptor_count = 0;
  *truncated = false;
  ssize_t count;
  do {
    count = recvmsg(socket, &message, (waiting ? 0 : MSG_DONTWAIT) | MSG_CMSG_CLOEXEC);
  } while (count < 0 && errno == EINTR && !waiting);
  // A signal ends a wait early; who waits knows for how much longer.
  if (count < 0) return errno == EINTR ? -EAGAIN : -errno;
  *truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  if (message.msg_controllen == 0) return count;
  size_t stored = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      if (stored < CVFU_MAX_DESCRIPTORS) {
        descriptors[stored++] = descriptor;
      } else {
        close(descriptor);
        *truncated = true;
      }
    }
  }
  *descriptor_count = stored;
  return count;
}

static ssize_t send_vector(int socket, struct iovec *vector, size_t vector_count,
                           const int *descriptors, size_t descriptor_count) {
  union control control;
  struct msghdr message = {.msg_iov = vector, .msg_iovlen = vector_count};
  if (descriptor_count > CVFU_MAX_DESCRIPTORS) return -EINVAL;
  if (descriptor_count > 0) {
    memset(&control, 0, sizeof(control));
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
    memcpy(CMSG_DATA(part), descriptors, sizeof(int) * descriptor_count);
  }
  ssize_t count;
  do {
    count = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

ssize_t cvfu_send(int socket, const void *buffer, size_t byte_count, const int *descriptors,
                  size_t descriptor_count) {
  if (descriptor_count == 0) {
    ssize_t count;
    do {
      count = send(socket, buffer, byte_count, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : count;
  }
  struct iovec vector = {.iov_base = (void *)buffer, .iov_len = byte_count};
  return send_vector(socket, &vector, 1, descriptors, descriptor_count);
}

ssize_t cvfu_send2(int socket, const void *first, size_t first_count, const void *second,
                   size_t second_count) {
  struct iovec vector[2] = {
      {.iov_base = (void *)first, .iov_len = first_count},
      {.iov_base = (void *)second, .iov_len = second_count},
  };
  return send_vector(socket, vector, 2, NULL, 0);
}

static int address_of(const char *path, struct sockaddr_un *address) {
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof(address->sun_path)) return -ENAMETOOLONG;
  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  return 0;
}

static int open_socket(const char *path, struct sockaddr_un *address) {
  int error = address_of(path, address);
  if (error) return error;
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return descriptor < 0 ? -errno : descriptor;
}

int cvfu_listen(const char *path, int backlog) {
  struct sockaddr_un address;
  int descriptor = open_socket(path, &address);
  if (descriptor < 0) return descriptor;
  if (bind(descriptor, (struct sockaddr *)&address, sizeof(address)) < 0 ||
      listen(descriptor, backlog) < 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  return descriptor;
}

int cvfu_connect(const char *path) {
  struct sockaddr_un address;
  int descriptor = open_socket(path, &address);
  if (descriptor < 0) return descriptor;
  int result;
  do {
    result = connect(descriptor, (struct sockaddr *)&address, sizeof(address));
  } while (result < 0 && errno == EINTR);
  if (result < 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  return descriptor;
}

int cvfu_accept(int socket) {
  int descriptor;
  do {
    descriptor = accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor < 0 ? -errno : descriptor;
}

int cvfu_socket_pair(int *ends) {
  int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return socketpair(AF_UNIX, type, 0, ends) < 0 ? -errno : 0;
}

int cvfu_is_listening(int socket) {
  int value = 0;
  socklen_t length = sizeof(value);
  if (getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) < 0) return -errno;
  return value != 0;
}

int cvfu_duplicate(int descriptor) {
  int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno : copy;
}

int cvfu_is_nonblocking(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  return flags < 0 ? -errno : (flags & O_NONBLOCK) != 0;
}

int cvfu_set_nonblocking(int descriptor, bool nonblocking) {
  int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags && fcntl(descriptor, F_SETFL, wanted) < 0) return -errno;
  return 0;
}
