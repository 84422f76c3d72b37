// Operations as blocking calls on threads.
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
  cbs_operation operation;
  uint64_t tag;
};

/// Work and results are circular buffers of `capacity` entries, so neither can overflow.
struct thread_engine {
  cbs_engine base;
  uint32_t capacity;
  uint32_t thread_limit;
  uint32_t thread_count;  // changed by the owner's thread alone
  pthread_t *threads;
  uint32_t fresh_count;  // started, and not yet announced by a kick

  pthread_mutex_t mutex;
  pthread_cond_t has_work;
  pthread_cond_t has_results;
  // Guarded by `mutex`.
  bool is_ending;
  uint32_t idle_count;
  struct job *jobs;
  uint32_t first_job, job_count;
  cbs_completion *results;
  uint32_t first_result;
  /// Written under `mutex`, read without it by reap, which takes the lock when it is not 0.
  atomic_uint result_count;
};

static struct thread_engine *threads_of(cbs_engine *engine) {
  return (struct thread_engine *)engine;
}

static int64_t write_vectors(const cbs_operation *operation) {
  int descriptor = operation->descriptor;
  int count = (int)operation->vector_count;
  ssize_t result = pwritev2(descriptor, operation->vectors, count, (off_t)operation->offset,
                            operation->is_durable ? RWF_DSYNC : 0);
  if (result < 0 && operation->is_durable && (errno == EOPNOTSUPP || errno == ENOSYS)) {
    result = pwritev(descriptor, operation->vectors, count, (off_t)operation->offset);
    if (result >= 0 && fdatasync(descriptor) < 0) result = -1;
  }
  return result;
}

static int64_t perform(const cbs_operation *operation) {
  int descriptor = operation->descriptor;
  off_t offset = (off_t)operation->offset;
  off_t byte_count = (off_t)operation->byte_count;
  while (true) {
    int64_t result;
    switch (operation->code) {
    case CBS_READ:
      result = preadv(descriptor, operation->vectors, (int)operation->vector_count, offset);
      break;
    case CBS_WRITE: result = write_vectors(operation); break;
    case CBS_SYNC: result = fdatasync(descriptor); break;
    case CBS_PUNCH:
      result = fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                         byte_count);
      break;
    default:
      result = fallocate(descriptor, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset,
                         byte_count);
      break;
    }
    if (result >= 0) return result;
    if (errno != EINTR) return -errno;
  }
}

static void *work(void *argument) {
  struct thread_engine *engine = argument;
  pthread_mutex_lock(&engine->mutex);
  while (true) {
    while (engine->job_count == 0 && !engine->is_ending) {
      engine->idle_count++;
      pthread_cond_wait(&engine->has_work, &engine->mutex);
      engine->idle_count--;
    }
    if (engine->job_count == 0) break;
    struct job job = engine->jobs[engine->first_job];
    engine->first_job = (engine->first_job + 1) % engine->capacity;
    engine->job_count--;
    pthread_mutex_unlock(&engine->mutex);

    cbs_completion completion = {job.tag, perform(&job.operation)};

    pthread_mutex_lock(&engine->mutex);
    uint32_t count = atomic_load_explicit(&engine->result_count, memory_order_relaxed);
    engine->results[(engine->first_result + count) % engine->capacity] = completion;
    atomic_store_explicit(&engine->result_count, count + 1, memory_order_relaxed);
    if (count == 0) {
      uint64_t one = 1;
      ssize_t ignored = write(engine->base.descriptor, &one, sizeof one);
      (void)ignored;
      pthread_cond_signal(&engine->has_results);
    }
  }
  pthread_mutex_unlock(&engine->mutex);
  return NULL;
}

/// Starts one more thread, which takes no signals.
static int add_thread(struct thread_engine *engine) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&engine->threads[engine->thread_count], NULL, work, engine);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) return -error;
  engine->thread_count++;
  return 0;
}

static void threads_free(cbs_engine *base) {
  struct thread_engine *engine = threads_of(base);
  pthread_mutex_lock(&engine->mutex);
  engine->is_ending = true;
  pthread_cond_broadcast(&engine->has_work);
  pthread_mutex_unlock(&engine->mutex);
  for (uint32_t index = 0; index < engine->thread_count; index++)
    pthread_join(engine->threads[index], NULL);
  pthread_cond_destroy(&engine->has_results);
  pthread_cond_destroy(&engine->has_work);
  pthread_mutex_destroy(&engine->mutex);
  if (base->descriptor >= 0) close(base->descriptor);
  free(engine->threads);
  free(engine->jobs);
  free(engine->results);
  free(engine);
}

static int threads_start(cbs_engine *base, const cbs_operation *operation, uint64_t tag) {
  struct thread_engine *engine = threads_of(base);
  pthread_mutex_lock(&engine->mutex);
  int error = engine->job_count == engine->capacity ? -EAGAIN : 0;
  if (!error) {
    uint32_t place = (engine->first_job + engine->job_count) % engine->capacity;
    engine->jobs[place] = (struct job){*operation, tag};
    engine->job_count++;
  }
  pthread_mutex_unlock(&engine->mutex);
  if (!error) engine->fresh_count++;
  return error;
}

static int threads_kick(cbs_engine *base) {
  struct thread_engine *engine = threads_of(base);
  uint32_t wanted = engine->fresh_count;
  engine->fresh_count = 0;
  if (wanted == 0) return 0;
  pthread_mutex_lock(&engine->mutex);
  uint32_t idle_count = engine->idle_count;
  if (wanted > 1)
    pthread_cond_broadcast(&engine->has_work);
  else
    pthread_cond_signal(&engine->has_work);
  pthread_mutex_unlock(&engine->mutex);
  while (wanted > idle_count && engine->thread_count < engine->thread_limit) {
    // Some threads are enough; without any there was one at the start.
    if (add_thread(engine) < 0) break;
    wanted--;
  }
  return 0;
}

static uint32_t threads_reap(cbs_engine *base, cbs_completion *completions, uint32_t capacity) {
  struct thread_engine *engine = threads_of(base);
  if (atomic_load_explicit(&engine->result_count, memory_order_relaxed) == 0) return 0;
  pthread_mutex_lock(&engine->mutex);
  uint32_t count = atomic_load_explicit(&engine->result_count, memory_order_relaxed);
  uint32_t taken = count < capacity ? count : capacity;
  for (uint32_t index = 0; index < taken; index++) {
    completions[index] = engine->results[engine->first_result];
    engine->first_result = (engine->first_result + 1) % engine->capacity;
  }
  atomic_store_explicit(&engine->result_count, count - taken, memory_order_relaxed);
  if (taken == count) {
    uint64_t value;
    ssize_t ignored = read(engine->base.descriptor, &value, sizeof value);
    (void)ignored;
  }
  pthread_mutex_unlock(&engine->mutex);
  return taken;
}

static void threads_wait(cbs_engine *base) {
  struct thread_engine *engine = threads_of(base);
  threads_kick(base);
  pthread_mutex_lock(&engine->mutex);
  while (atomic_load_explicit(&engine->result_count, memory_order_relaxed) == 0)
    pthread_cond_wait(&engine->has_results, &engine->mutex);
  pthread_mutex_unlock(&engine->mutex);
}

int cbs_thread_engine(uint32_t capacity, uint32_t thread_count, cbs_engine **engine) {
  static const struct cbs_kind kind = {threads_free, threads_start, threads_kick, threads_reap,
                                       threads_wait};
  struct thread_engine *result = calloc(1, sizeof *result);
  if (!result) return -ENOMEM;
  pthread_mutex_init(&result->mutex, NULL);
  pthread_cond_init(&result->has_work, NULL);
  pthread_cond_init(&result->has_results, NULL);
  result->base.kind = &kind;
  result->capacity = capacity;
  result->thread_limit = thread_count;
  result->threads = calloc(thread_count, sizeof *result->threads);
  result->jobs = calloc(capacity, sizeof *result->jobs);
  result->results = calloc(capacity, sizeof *result->results);
  result->base.descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  int error = result->base.descriptor < 0 ? -errno : 0;
  if (!result->threads || !result->jobs || !result->results) error = -ENOMEM;
  // One thread from the start: whether there can be any shows now.
  if (!error) error = add_thread(result);
  if (error) {
    threads_free(&result->base);
    return error;
  }
  *engine = &result->base;
  return 0;
}
