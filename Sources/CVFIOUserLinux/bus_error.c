#define _GNU_SOURCE
#include "CVFIOUserLinux.h"
#include <stdatomic.h>

// A peer may shrink the file behind a mapping that we read. The fault must not end the process: the
// handler puts a private zero page in place and marks the mapping, and the accessor looks at the
// mark after each access. The table is fixed and lock-free, because a signal handler may take no
// lock and allocate nothing. A slot is published by its start address, written last.

#define GUARD_BITS 17
#define GUARD_SLOTS (1u << GUARD_BITS)

struct slot {
  _Atomic uintptr_t start;
  _Atomic size_t byte_count;
  _Atomic uint32_t is_lost;
};

// Untouched pages of the table cost nothing until a slot in them is used.
static struct slot slots[GUARD_SLOTS];
static _Atomic uint32_t used_slots;
static pthread_mutex_t allocation_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t free_slots[GUARD_SLOTS];
static uint32_t free_count;
static struct sigaction previous;
static _Atomic bool installed;

uint64_t cvfu_losses;

static void forward(int signal, siginfo_t *info, void *context) {
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // Returning runs the faulting instruction again, now with the default action.
    struct sigaction fallback = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, &fallback, NULL);
  }
}

static void on_bus_error(int signal, siginfo_t *info, void *context) {
  int saved = errno;
  uintptr_t address = (uintptr_t)info->si_addr;
  uint32_t count = atomic_load_explicit(&used_slots, memory_order_acquire);
  for (uint32_t i = 0; i < count; i++) {
    uintptr_t start = atomic_load_explicit(&slots[i].start, memory_order_acquire);
    size_t byte_count = atomic_load_explicit(&slots[i].byte_count, memory_order_relaxed);
    if (start == 0 || address < start || address - start >= byte_count) continue;
    long page = sysconf(_SC_PAGESIZE);
    void *place = (void *)(address & ~((uintptr_t)page - 1));
    // Before the zeros can be read: whoever reads them finds the mark.
    atomic_store_explicit(&slots[i].is_lost, 1, memory_order_release);
    __atomic_fetch_add(&cvfu_losses, 1, __ATOMIC_RELEASE);
    void *patch = mmap(place, (size_t)page, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (patch == MAP_FAILED) {
      // A huge page cannot be replaced in part: replace the whole mapping.
      patch = mmap((void *)start, byte_count, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    if (patch == MAP_FAILED) break;
    errno = saved;
    return;
  }
  errno = saved;
  forward(signal, info, context);
}

int cvfu_install_bus_error_handler(void) {
  if (atomic_exchange(&installed, true)) return 0;
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGBUS, &action, &previous) < 0) {
    atomic_store(&installed, false);
    return -errno;
  }
  return 0;
}

int cvfu_guard_mapping(const void *start, size_t byte_count) {
  pthread_mutex_lock(&allocation_lock);
  uint32_t slot;
  if (free_count > 0) {
    slot = free_slots[--free_count];
  } else {
    slot = atomic_load_explicit(&used_slots, memory_order_relaxed);
    if (slot == GUARD_SLOTS) {
      pthread_mutex_unlock(&allocation_lock);
      return -ENOSPC;
    }
    atomic_store_explicit(&used_slots, slot + 1, memory_order_release);
  }
  atomic_store_explicit(&slots[slot].is_lost, 0, memory_order_relaxed);
  atomic_store_explicit(&slots[slot].byte_count, byte_count, memory_order_relaxed);
  atomic_store_explicit(&slots[slot].start, (uintptr_t)start, memory_order_release);
  pthread_mutex_unlock(&allocation_lock);
  return (int)slot;
}

void cvfu_release_mapping(int slot) {
  if (slot < 0 || (uint32_t)slot >= GUARD_SLOTS) return;
  pthread_mutex_lock(&allocation_lock);
  atomic_store_explicit(&slots[slot].start, 0, memory_order_release);
  free_slots[free_count++] = (uint32_t)slot;
  pthread_mutex_unlock(&allocation_lock);
}

bool cvfu_mapping_is_lost(int slot) {
  if (slot < 0 || (uint32_t)slot >= GUARD_SLOTS) return false;
  return atomic_load_explicit(&slots[slot].is_lost, memory_order_acquire) != 0;
}
