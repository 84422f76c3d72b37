#include "CNBD.h"

#if __has_include(<libnbd.h>)

#include <dlfcn.h>
#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// What is used of libnbd.
#define FUNCTIONS(each)                                                                           \
  each(nbd_create) each(nbd_close) each(nbd_get_error) each(nbd_get_errno)                        \
  each(nbd_aio_connect_uri) each(nbd_aio_is_ready) each(nbd_aio_is_processing)                    \
  each(nbd_aio_is_dead) each(nbd_aio_is_closed) each(nbd_aio_get_fd)                              \
  each(nbd_aio_get_direction) each(nbd_aio_notify_read) each(nbd_aio_notify_write)                \
  each(nbd_get_size) each(nbd_get_block_size) each(nbd_is_read_only) each(nbd_can_flush)          \
  each(nbd_can_fua) each(nbd_can_zero) each(nbd_can_multi_conn) each(nbd_aio_pread)               \
  each(nbd_aio_pwrite) each(nbd_aio_zero) each(nbd_aio_flush)

static struct {
#define MEMBER(name) __typeof__(&name) name;
  FUNCTIONS(MEMBER)
#undef MEMBER
} library;

static const char *load_failure;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *handle = dlopen("libnbd.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    load_failure = "libnbd is not installed";
    return;
  }
#define FIND(name)                                                                                \
  library.name = (__typeof__(&name))dlsym(handle, #name);                                         \
  if (!library.name) load_failure = "the libnbd that is installed is too old";
  FUNCTIONS(FIND)
#undef FIND
}

const char *cnbd_unavailable(void) {
  pthread_once(&load_once, load);
  return load_failure;
}

/// What a command in flight leads back to.
struct slot {
  cnbd_connection *connection;
  uint32_t tag;
};

struct cnbd_connection {
  struct nbd_handle *handle;
  uint32_t capacity;
  struct slot *slots;
  /// Ends that were not reaped, a circular buffer of `capacity`.
  cnbd_completion *completions;
  uint32_t first, count;
};

cnbd_connection *cnbd_create(uint32_t capacity) {
  if (cnbd_unavailable()) return NULL;
  cnbd_connection *connection = calloc(1, sizeof *connection);
  if (!connection) return NULL;
  connection->capacity = capacity;
  connection->slots = calloc(capacity, sizeof *connection->slots);
  connection->completions = calloc(capacity, sizeof *connection->completions);
  connection->handle = library.nbd_create();
  if (!connection->slots || !connection->completions || !connection->handle) {
    cnbd_free(connection);
    return NULL;
  }
  for (uint32_t tag = 0; tag < capacity; tag++)
    connection->slots[tag] = (struct slot){connection, tag};
  return connection;
}

void cnbd_free(cnbd_connection *connection) {
  if (connection->handle) library.nbd_close(connection->handle);
  free(connection->slots);
  free(connection->completions);
  free(connection);
}

const char *cnbd_error(void) {
  if (load_failure) return load_failure;
  const char *error = library.nbd_get_error();
  return error ? error : "unknown error";
}

/// The negative errno of a call that failed.
static int failure(void) {
  int error = library.nbd_get_errno();
  return error > 0 ? -error : -EIO;
}

int cnbd_connect(cnbd_connection *connection, const char *uri) {
  return library.nbd_aio_connect_uri(connection->handle, uri) < 0 ? failure() : 0;
}

int cnbd_state(cnbd_connection *connection) {
  struct nbd_handle *handle = connection->handle;
  if (library.nbd_aio_is_ready(handle) > 0 || library.nbd_aio_is_processing(handle) > 0)
    return CNBD_READY;
  if (library.nbd_aio_is_dead(handle) != 0 || library.nbd_aio_is_closed(handle) != 0)
    return CNBD_DEAD;
  return CNBD_CONNECTING;
}

int cnbd_go_on(cnbd_connection *connection, int milliseconds) {
  struct nbd_handle *handle = connection->handle;
  int state = cnbd_state(connection);
  if (state != CNBD_CONNECTING) return state;
  unsigned direction = library.nbd_aio_get_direction(handle);
  struct pollfd socket = {.fd = library.nbd_aio_get_fd(handle)};
  if (direction & LIBNBD_AIO_DIRECTION_READ) socket.events |= POLLIN;
  if (direction & LIBNBD_AIO_DIRECTION_WRITE) socket.events |= POLLOUT;
  if (poll(&socket, 1, milliseconds) > 0) {
    // As libnbd asks: one event for each poll, reading first.
    if ((direction & LIBNBD_AIO_DIRECTION_READ) && (socket.revents & (POLLIN | POLLHUP | POLLERR)))
      library.nbd_aio_notify_read(handle);
    else if (direction & LIBNBD_AIO_DIRECTION_WRITE)
      library.nbd_aio_notify_write(handle);
  }
  return cnbd_state(connection);
}

int cnbd_get_facts(cnbd_connection *connection, cnbd_facts *facts) {
  struct nbd_handle *handle = connection->handle;
  int64_t byte_count = library.nbd_get_size(handle);
  if (byte_count < 0) return failure();
  int64_t minimum = library.nbd_get_block_size(handle, LIBNBD_SIZE_MINIMUM);
  int64_t preferred = library.nbd_get_block_size(handle, LIBNBD_SIZE_PREFERRED);
  int64_t maximum = library.nbd_get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
  *facts = (cnbd_facts){
      .byte_count = (uint64_t)byte_count,
      .minimum_byte_count = minimum > 0 ? (uint64_t)minimum : 1,
      .preferred_byte_count = preferred > 0 ? (uint64_t)preferred : 0,
      .maximum_byte_count = maximum > 0 ? (uint64_t)maximum : 0,
      .is_read_only = library.nbd_is_read_only(handle) > 0,
      .can_flush = library.nbd_can_flush(handle) > 0,
      .can_fua = library.nbd_can_fua(handle) > 0,
      .can_zero = library.nbd_can_zero(handle) > 0,
      .can_share = library.nbd_can_multi_conn(handle) > 0,
  };
  return 0;
}

int cnbd_descriptor(cnbd_connection *connection) {
  return library.nbd_aio_get_fd(connection->handle);
}

bool cnbd_wants_to_write(cnbd_connection *connection) {
  return library.nbd_aio_get_direction(connection->handle) & LIBNBD_AIO_DIRECTION_WRITE;
}

void cnbd_notify(cnbd_connection *connection, bool readable, bool writable) {
  struct nbd_handle *handle = connection->handle;
  unsigned direction = library.nbd_aio_get_direction(handle);
  if (readable && (direction & LIBNBD_AIO_DIRECTION_READ))
    library.nbd_aio_notify_read(handle);
  else if (writable && (direction & LIBNBD_AIO_DIRECTION_WRITE))
    library.nbd_aio_notify_write(handle);
}

void cnbd_try(cnbd_connection *connection) {
  struct nbd_handle *handle = connection->handle;
  if (library.nbd_aio_get_direction(handle) & LIBNBD_AIO_DIRECTION_READ)
    library.nbd_aio_notify_read(handle);
  if (library.nbd_aio_get_direction(handle) & LIBNBD_AIO_DIRECTION_WRITE)
    library.nbd_aio_notify_write(handle);
}

/// Called by libnbd from within notify and from within the functions that start commands.
static int completed(void *data, int *error) {
  struct slot *slot = data;
  cnbd_connection *connection = slot->connection;
  uint32_t place = (connection->first + connection->count) % connection->capacity;
  connection->completions[place] = (cnbd_completion){slot->tag, *error};
  connection->count++;
  return 1;
}

static nbd_completion_callback callback(cnbd_connection *connection, uint32_t tag) {
  return (nbd_completion_callback){.callback = completed, .user_data = &connection->slots[tag]};
}

int cnbd_read(cnbd_connection *connection, void *memory, size_t byte_count, uint64_t offset,
              uint32_t tag) {
  return library.nbd_aio_pread(connection->handle, memory, byte_count, offset,
                               callback(connection, tag), 0) < 0
             ? failure()
             : 0;
}

int cnbd_write(cnbd_connection *connection, const void *memory, size_t byte_count,
               uint64_t offset, bool fua, uint32_t tag) {
  return library.nbd_aio_pwrite(connection->handle, memory, byte_count, offset,
                                callback(connection, tag), fua ? LIBNBD_CMD_FLAG_FUA : 0) < 0
             ? failure()
             : 0;
}

int cnbd_zero(cnbd_connection *connection, uint64_t byte_count, uint64_t offset, bool fua,
              bool keeps_space, uint32_t tag) {
  uint32_t flags =
      (fua ? LIBNBD_CMD_FLAG_FUA : 0) | (keeps_space ? LIBNBD_CMD_FLAG_NO_HOLE : 0);
  return library.nbd_aio_zero(connection->handle, byte_count, offset, callback(connection, tag),
                              flags) < 0
             ? failure()
             : 0;
}

int cnbd_flush(cnbd_connection *connection, uint32_t tag) {
  return library.nbd_aio_flush(connection->handle, callback(connection, tag), 0) < 0 ? failure()
                                                                                     : 0;
}

bool cnbd_has_completions(const cnbd_connection *connection) { return connection->count > 0; }

uint32_t cnbd_reap(cnbd_connection *connection, cnbd_completion *completions, uint32_t capacity) {
  uint32_t taken = 0;
  while (taken < capacity && connection->count > 0) {
    completions[taken++] = connection->completions[connection->first];
    connection->first = (connection->first + 1) % connection->capacity;
    connection->count--;
  }
  return taken;
}

#else

#include <errno.h>

const char *cnbd_unavailable(void) { return "this program was built without libnbd"; }
cnbd_connection *cnbd_create(uint32_t capacity) {
  (void)capacity;
  return NULL;
}
void cnbd_free(cnbd_connection *connection) { (void)connection; }
const char *cnbd_error(void) { return cnbd_unavailable(); }
int cnbd_connect(cnbd_connection *connection, const char *uri) {
  (void)connection, (void)uri;
  return -ENOSYS;
}
int cnbd_go_on(cnbd_connection *connection, int milliseconds) {
  (void)connection, (void)milliseconds;
  return CNBD_DEAD;
}
int cnbd_state(cnbd_connection *connection) {
  (void)connection;
  return CNBD_DEAD;
}
int cnbd_get_facts(cnbd_connection *connection, cnbd_facts *facts) {
  (void)connection, (void)facts;
  return -ENOSYS;
}
int cnbd_descriptor(cnbd_connection *connection) {
  (void)connection;
  return -1;
}
bool cnbd_wants_to_write(cnbd_connection *connection) {
  (void)connection;
  return false;
}
void cnbd_notify(cnbd_connection *connection, bool readable, bool writable) {
  (void)connection, (void)readable, (void)writable;
}
void cnbd_try(cnbd_connection *connection) { (void)connection; }
int cnbd_read(cnbd_connection *connection, void *memory, size_t byte_count, uint64_t offset,
              uint32_t tag) {
  (void)connection, (void)memory, (void)byte_count, (void)offset, (void)tag;
  return -ENOSYS;
}
int cnbd_write(cnbd_connection *connection, const void *memory, size_t byte_count,
               uint64_t offset, bool fua, uint32_t tag) {
  (void)connection, (void)memory, (void)byte_count, (void)offset, (void)fua, (void)tag;
  return -ENOSYS;
}
int cnbd_zero(cnbd_connection *connection, uint64_t byte_count, uint64_t offset, bool fua,
              bool keeps_space, uint32_t tag) {
  (void)connection, (void)byte_count, (void)offset, (void)fua, (void)keeps_space, (void)tag;
  return -ENOSYS;
}
int cnbd_flush(cnbd_connection *connection, uint32_t tag) {
  (void)connection, (void)tag;
  return -ENOSYS;
}
bool cnbd_has_completions(const cnbd_connection *connection) {
  (void)connection;
  return false;
}
uint32_t cnbd_reap(cnbd_connection *connection, cnbd_completion *completions, uint32_t capacity) {
  (void)connection, (void)completions, (void)capacity;
  return 0;
}

#endif
