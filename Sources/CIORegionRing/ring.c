#define _GNU_SOURCE
#include "CIORegionRing.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { entry_count = 128, no_slot = UINT32_MAX };

/// A tag has the slot in its upper bits.
enum { tag_receive = 0, tag_respond = 1, tag_bits = 1 };

struct command {
  uint32_t info;
  uint32_t padding;
  uint64_t user_data;
  uint64_t offset;
  uint64_t data;
};

/// What the kernel reads and writes on its own: it stays in place while anything is in flight.
struct slot {
  struct command command;
  uint64_t response[4];
  int socket;
  /// How many requests the kernel has.
  uint32_t in_flight;
  bool is_receiving;
  bool is_detached;
  uint32_t next_free;
};

struct cir_ring {
  struct io_uring uring;
  struct slot **slots;
  uint32_t slot_count;
  uint32_t first_free;
  uint32_t in_flight;
};

int cir_open(cir_ring **result) {
  static const unsigned flags[] = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
  cir_ring *ring = calloc(1, sizeof *ring);
  if (!ring) return -ENOMEM;
  ring->first_free = no_slot;
  int error = 0;
  // The first form needs Linux 5.19.
  for (size_t index = 0; index < sizeof flags / sizeof flags[0]; index++) {
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    parameters.flags = flags[index];
    error = io_uring_queue_init_params(entry_count, &ring->uring, &parameters);
    if (error == 0 && !(parameters.features & IORING_FEAT_CQE_SKIP)) {
      io_uring_queue_exit(&ring->uring);
      error = -ENOSYS;
    }
    if (error != -EINVAL) break;
  }
  if (error == 0) {
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    if (!probe || !io_uring_opcode_supported(probe, IORING_OP_RECV) ||
        !io_uring_opcode_supported(probe, IORING_OP_SEND)) {
      io_uring_queue_exit(&ring->uring);
      error = -ENOSYS;
    }
    io_uring_free_probe(probe);
  }
  if (error < 0) {
    free(ring);
    return error;
  }
  *result = ring;
  return 0;
}

/// Counts a completion; the last one of a detached slot gives it back.
static void completed(cir_ring *ring, uint32_t number, bool was_receive) {
  struct slot *slot = ring->slots[number];
  ring->in_flight--;
  slot->in_flight--;
  if (was_receive) slot->is_receiving = false;
  if (slot->is_detached && slot->in_flight == 0) {
    slot->next_free = ring->first_free;
    ring->first_free = number;
  }
}

void cir_close(cir_ring *ring) {
  while (ring->in_flight > 0) {
    // Sockets that were shut down have nothing more to wait for.
    struct io_uring_cqe *cqe;
    int result = io_uring_submit_and_wait(&ring->uring, 1);
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) break;
    while (io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
      uint64_t tag = cqe->user_data;
      io_uring_cqe_seen(&ring->uring, cqe);
      completed(ring, (uint32_t)(tag >> tag_bits), (tag & 1) == tag_receive);
    }
  }
  io_uring_queue_exit(&ring->uring);
  for (uint32_t index = 0; index < ring->slot_count; index++) free(ring->slots[index]);
  free(ring->slots);
  free(ring);
}

int cir_descriptor(const cir_ring *ring) { return ring->uring.ring_fd; }

int cir_attach(cir_ring *ring, int socket) {
  uint32_t number = ring->first_free;
  if (number == no_slot) {
    struct slot **slots = realloc(ring->slots, (ring->slot_count + 1) * sizeof *slots);
    if (!slots) return -ENOMEM;
    ring->slots = slots;
    void *slot = NULL;
    if (posix_memalign(&slot, 64, sizeof(struct slot))) return -ENOMEM;
    number = ring->slot_count++;
    slots[number] = slot;
  } else {
    ring->first_free = ring->slots[number]->next_free;
  }
  memset(ring->slots[number], 0, sizeof(struct slot));
  ring->slots[number]->socket = socket;
  return (int)number;
}

void cir_detach(cir_ring *ring, uint32_t number) {
  struct slot *slot = ring->slots[number];
  if (slot->is_detached) return;
  slot->is_detached = true;
  // What was not handed over would refer to the descriptor's next owner.
  cir_submit(ring);
  shutdown(slot->socket, SHUT_RDWR);
  close(slot->socket);
  slot->socket = -1;
  if (slot->in_flight == 0) {
    slot->next_free = ring->first_free;
    ring->first_free = number;
  }
}

int cir_submit(cir_ring *ring) {
  while (io_uring_sq_ready(&ring->uring) > 0) {
    int result = io_uring_submit(&ring->uring);
    if (result == -EINTR) continue;
    if (result < 0) return result;
    if (result == 0) return -EAGAIN;
  }
  return 0;
}

static struct io_uring_sqe *next_entry(cir_ring *ring) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
  if (entry) return entry;
  cir_submit(ring);
  return io_uring_get_sqe(&ring->uring);
}

static void count(cir_ring *ring, struct slot *slot) {
  slot->in_flight++;
  ring->in_flight++;
}

int cir_receive(cir_ring *ring, uint32_t number) {
  struct slot *slot = ring->slots[number];
  if (slot->is_detached || slot->is_receiving) return 0;
  struct io_uring_sqe *entry = next_entry(ring);
  if (!entry) return -EAGAIN;
  io_uring_prep_recv(entry, slot->socket, &slot->command, sizeof slot->command, MSG_TRUNC);
  io_uring_sqe_set_data64(entry, (uint64_t)number << tag_bits | tag_receive);
  slot->is_receiving = true;
  count(ring, slot);
  return 0;
}

int cir_respond(cir_ring *ring, uint32_t number, uint64_t data) {
  struct slot *slot = ring->slots[number];
  if (slot->is_detached) return 0;
  struct io_uring_sqe *entry = next_entry(ring);
  if (!entry) return -EAGAIN;
  slot->response[0] = data;
  io_uring_prep_send(entry, slot->socket, slot->response, sizeof slot->response,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
  // It ends within the submission, and is not counted: only a failure is told.
  entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(entry, (uint64_t)number << tag_bits | tag_respond);
  return 0;
}

static uint32_t take(cir_ring *ring, cir_arrival *arrivals, uint32_t capacity) {
  struct io_uring_cqe *cqe;
  uint32_t taken = 0;
  while (taken < capacity && io_uring_peek_cqe(&ring->uring, &cqe) == 0) {
    uint64_t tag = cqe->user_data;
    int32_t result = cqe->res;
    io_uring_cqe_seen(&ring->uring, cqe);
    uint32_t number = (uint32_t)(tag >> tag_bits);
    struct slot *slot = ring->slots[number];
    bool is_response = (tag & 1) == tag_respond;
    bool is_detached = slot->is_detached;
    if (!is_response) completed(ring, number, true);
    if (is_detached) continue;
    arrivals[taken++] = (cir_arrival){
        .slot = number,
        .result = result,
        .is_response = is_response,
        .info = slot->command.info,
        .padding = slot->command.padding,
        .user_data = slot->command.user_data,
        .offset = slot->command.offset,
        .data = slot->command.data,
    };
  }
  return taken;
}

uint32_t cir_take(cir_ring *ring, cir_arrival *arrivals, uint32_t capacity) {
  struct io_uring *uring = &ring->uring;
  if (io_uring_cq_ready(uring) == 0) {
    // With cooperative task work the kernel says in the ring that it has completions to finish.
    unsigned wanted = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    if (!(IO_URING_READ_ONCE(*uring->sq.kflags) & wanted)) return 0;
    io_uring_get_events(uring);
  }
  return take(ring, arrivals, capacity);
}

bool cir_has_hung_up(const cir_ring *ring, uint32_t number) {
  struct pollfd entry = {.fd = ring->slots[number]->socket, .events = POLLRDHUP};
  return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}
