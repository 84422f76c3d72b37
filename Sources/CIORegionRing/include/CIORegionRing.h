// The sockets of ioregionfds on an io_uring: a receive in flight for each, and one system call an
// access, which sends the response and asks for the next command.
//
// Functions return 0 or a count on success and a negative errno on failure; they never touch errno.
// All calls for a ring come from one thread.
#ifndef CIOREGION_RING_H
#define CIOREGION_RING_H

#include <stdbool.h>
#include <stdint.h>

/// A ring and its sockets.
typedef struct cir_ring cir_ring;

/// What arrived at a socket.
typedef struct cir_arrival {
  uint32_t slot;
  /// The length of what was sent, 0 at the end of the stream or for an empty message, or -errno.
  int32_t result;
  /// Whether it is about a response that could not be sent.
  bool is_response;
  uint32_t info;
  uint32_t padding;
  uint64_t user_data;
  uint64_t offset;
  uint64_t data;
} cir_arrival;

/// Makes a ring. -ENOSYS or -EPERM where the kernel refuses.
int cir_open(cir_ring **ring);

/// Ends a ring, once every socket was detached; waits for what the kernel still has in its hands.
void cir_close(cir_ring *ring);

/// Becomes readable when something has arrived.
int cir_descriptor(const cir_ring *ring);

/// Takes a socket over, and returns its slot. The first `cir_receive` is the caller's to ask for.
int cir_attach(cir_ring *ring, int socket);

/// Shuts the socket down, closes it, and lets go of the slot. Nothing arrives for it any more.
void cir_detach(cir_ring *ring, uint32_t slot);

/// Asks for the next command; `cir_submit` hands the wish over. One at a time for each slot.
int cir_receive(cir_ring *ring, uint32_t slot);

/// Sends a response; `cir_submit` hands it over. Only a failure arrives.
int cir_respond(cir_ring *ring, uint32_t slot, uint64_t data);

/// Hands over what was asked for.
int cir_submit(cir_ring *ring);

/// Takes what has arrived, at most `capacity`, without a system call unless the kernel asks for one.
uint32_t cir_take(cir_ring *ring, cir_arrival *arrivals, uint32_t capacity);

/// Whether the peer of the slot's socket has closed its end.
bool cir_has_hung_up(const cir_ring *ring, uint32_t slot);

#endif
