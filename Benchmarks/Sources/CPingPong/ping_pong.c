#define _GNU_SOURCE
#include "CPingPong.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct lines {
  alignas(128) _Atomic uint64_t there;
  alignas(128) _Atomic uint64_t back;
  uint64_t exchange_count;
};

static void keep_to(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof set, &set);
}

static void *answer(void *argument) {
  struct lines *lines = argument;
  keep_to(1);
  for (uint64_t number = 1; number <= lines->exchange_count; number++) {
    while (atomic_load_explicit(&lines->there, memory_order_acquire) != number) {
    }
    atomic_store_explicit(&lines->back, number, memory_order_release);
  }
  return NULL;
}

double cpp_nanoseconds(uint64_t exchange_count) {
  struct lines *lines = aligned_alloc(128, sizeof *lines);
  if (!lines) return 0;
  memset(lines, 0, sizeof *lines);
  lines->exchange_count = exchange_count;
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  keep_to(0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, answer, lines) != 0) {
    free(lines);
    return 0;
  }
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (uint64_t number = 1; number <= exchange_count; number++) {
    atomic_store_explicit(&lines->there, number, memory_order_release);
    while (atomic_load_explicit(&lines->back, memory_order_acquire) != number) {
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  pthread_join(thread, NULL);
  sched_setaffinity(0, sizeof before, &before);
  free(lines);
  return ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / (double)exchange_count;
}
