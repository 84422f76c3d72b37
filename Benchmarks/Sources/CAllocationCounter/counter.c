#define _GNU_SOURCE
#include "CAllocationCounter.h"
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Atomic uint64_t allocations;

static void count(void) { atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed); }

void *malloc(size_t size) {
  count();
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  count();
  return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
  count();
  return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  count();
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : ENOMEM;
}

uint64_t cac_allocation_count(void) {
  return atomic_load_explicit(&allocations, memory_order_relaxed);
}

uint64_t cac_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t cac_cpu_nanoseconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  uint64_t seconds = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
  return seconds * 1000000000u + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

void cac_pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  for (long i = 0; i < count; i++) {
    if (cpu < 0 || i == cpu % count) CPU_SET((size_t)i, &set);
  }
  sched_setaffinity(0, sizeof(set), &set);
}

int cac_socket_pair(int *ends) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends); }

static int receive_all(int socket, char *buffer, long count) {
  long done = 0;
  while (done < count) {
    ssize_t step = recv(socket, buffer + done, (size_t)(count - done), 0);
    if (step <= 0) return -1;
    done += step;
  }
  return 0;
}

void cac_echo(int socket, long request, long reply) {
  char buffer[4096] = {0};
  while (receive_all(socket, buffer, request) == 0) {
    if (send(socket, buffer, (size_t)reply, MSG_NOSIGNAL) != reply) return;
  }
}

int cac_exchange(int socket, long request, long reply) {
  char buffer[4096];
  memset(buffer, 0, (size_t)request);
  if (send(socket, buffer, (size_t)request, MSG_NOSIGNAL) != request) return -1;
  return receive_all(socket, buffer, reply);
}
