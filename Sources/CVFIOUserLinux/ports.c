#define _GNU_SOURCE
#include "CVFIOUserLinux.h"

int cvfu_port_pair(int *ends) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

ssize_t cvfu_port_receive(int socket, struct cvfu_port_command *command) {
  ssize_t count;
  do {
    // MSG_TRUNC: the length that was sent, even where it is more than what fits.
    count = recv(socket, command, sizeof(*command), MSG_DONTWAIT | MSG_TRUNC);
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

int cvfu_port_respond(int socket, uint64_t data) {
  uint64_t response[4] = {data, 0, 0, 0};
  ssize_t count;
  do {
    count = send(socket, response, sizeof(response), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : 0;
}

bool cvfu_has_hung_up(int descriptor) {
  struct pollfd entry = {.fd = descriptor, .events = POLLRDHUP};
  return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
