#define _GNU_SOURCE
#include "CRingFloor.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ring_size = 1024 };

struct entry {
  uint64_t words[8];
};

struct completion {
  uint64_t low;
  _Atomic uint64_t high;
};

struct rings {
  alignas(64) _Atomic uint32_t tail;
  alignas(64) struct entry entries[ring_size];
  alignas(64) struct completion completions[ring_size];
  uint64_t entry_count;
};

static void keep_to(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Takes entries and answers each with a completion.
static void *serve(void *argument) {
  struct rings *rings = argument;
  keep_to(1);
  uint64_t done = 0;
  while (done < rings->entry_count) {
    uint32_t tail = atomic_load_explicit(&rings->tail, memory_order_acquire);
    while ((uint32_t)done != tail) {
      struct entry entry;
      memcpy(&entry, &rings->entries[done % ring_size], sizeof entry);
      struct completion *completion = &rings->completions[done % ring_size];
      completion->low = entry.words[0] ^ entry.words[7];
      uint64_t phase = (done / ring_size & 1) ^ 1;
      atomic_store_explicit(&completion->high, phase << 48 | (entry.words[1] & 0xffff), memory_order_release);
      done++;
    }
  }
  return NULL;
}

double crf_nanoseconds(int depth, uint64_t entry_count) {
  if (depth < 1 || depth >= ring_size) return 0;
  struct rings *rings = aligned_alloc(64, sizeof *rings);
  if (!rings) return 0;
  memset(rings, 0, sizeof *rings);
  rings->entry_count = entry_count;
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  keep_to(0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, serve, rings) != 0) {
    free(rings);
    return 0;
  }
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  uint64_t sent = 0, seen = 0;
  while (seen < entry_count) {
    while (sent < entry_count && sent - seen < (uint64_t)depth) {
      struct entry *entry = &rings->entries[sent % ring_size];
      for (int word = 0; word < 8; word++) entry->words[word] = sent + word;
      sent++;
    }
    atomic_store_explicit(&rings->tail, (uint32_t)sent, memory_order_release);
    while (seen < sent) {
      uint64_t high = atomic_load_explicit(&rings->completions[seen % ring_size].high, memory_order_acquire);
      if ((high >> 48 & 1) != ((seen / ring_size & 1) ^ 1)) break;
      seen++;
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  pthread_join(thread, NULL);
  sched_setaffinity(0, sizeof before, &before);
  free(rings);
  return ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / (double)entry_count;
}
