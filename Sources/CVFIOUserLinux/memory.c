#define _GNU_SOURCE
#include "CVFIOUserLinux.h"
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

int cvfu_shared_memory(const char *name, uint64_t byte_count) {
  int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return -errno;
  if (ftruncate(descriptor, (off_t)byte_count) < 0 ||
      fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  return descriptor;
}

int cvfu_seals(int descriptor) {
  int seals = fcntl(descriptor, F_GET_SEALS);
  return seals < 0 ? -errno : seals;
}

bool cvfu_is_sealed_against_shrinking(int descriptor) {
  int seals = fcntl(descriptor, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

void *cvfu_map(int descriptor, uint64_t offset, size_t byte_count, bool readable, bool writable,
               int *error) {
  int protection = PROT_NONE;
  if (readable) protection |= PROT_READ;
  if (writable) protection |= PROT_READ | PROT_WRITE;
  void *result = mmap(NULL, byte_count, protection, MAP_SHARED | MAP_NORESERVE, descriptor,
                      (off_t)offset);
  if (result == MAP_FAILED) {
    *error = errno;
    return NULL;
  }
  return result;
}

int cvfu_allowed_cpu_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) < 0) return -errno;
  return CPU_COUNT(&set);
}

void cvfu_name_thread(const char *name) {
  char text[16];
  snprintf(text, sizeof(text), "%s", name);
  pthread_setname_np(pthread_self(), text);
}

uint64_t cvfu_monotonic_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int cvfu_futex_wait(const void *word, uint32_t expected, uint64_t deadline) {
  struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000u),
                           .tv_nsec = (long)(deadline % 1000000000u)};
  long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                        deadline == UINT64_MAX ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
  return result < 0 ? -errno : 0;
}

int cvfu_futex_wake(const void *word) {
  long result = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
  return result < 0 ? -errno : (int)result;
}
