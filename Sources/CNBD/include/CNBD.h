// Connections to NBD servers through libnbd, which is loaded at run time: a program that uses no NBD
// storage needs no libnbd. Where this was built without its header nothing connects.
//
// Functions return 0 on success and a negative errno on failure. A connection is used by one thread
// at a time.
#ifndef CNBD_H
#define CNBD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cnbd_connection cnbd_connection;

/// What a server says of an export.
typedef struct cnbd_facts {
  uint64_t byte_count;
  uint64_t minimum_byte_count;    // of a request, and what it is a multiple of; at least 1
  uint64_t preferred_byte_count;  // 0 where it says nothing
  uint64_t maximum_byte_count;    // of a request; 0 where it says nothing
  bool is_read_only;
  bool can_flush;
  bool can_fua;
  bool can_zero;
  bool can_share;  // several connections see each other's writes, and a flush is for all of them
} cnbd_facts;

enum {
  CNBD_CONNECTING = 0,
  CNBD_READY = 1,
  CNBD_DEAD = 2,
};

/// How a command ended: 0 or a positive errno.
typedef struct cnbd_completion {
  uint32_t tag;
  int32_t error;
} cnbd_completion;

/// Why libnbd cannot be used here, or NULL when it can. Loads it the first time. Any thread.
const char *cnbd_unavailable(void);

/// A connection that has room for `capacity` commands. NULL: see cnbd_error.
cnbd_connection *cnbd_create(uint32_t capacity);

/// Ends a connection at once. Commands in flight touch no memory any more.
void cnbd_free(cnbd_connection *connection);

/// What went wrong last on this thread, in words.
const char *cnbd_error(void);

/// Begins to connect, without waiting longer than looking a name up takes.
int cnbd_connect(cnbd_connection *connection, const char *uri);

/// Goes on with connecting, for `milliseconds` at most. Returns CNBD_CONNECTING, _READY or _DEAD.
int cnbd_go_on(cnbd_connection *connection, int milliseconds);

/// CNBD_CONNECTING, _READY or _DEAD.
int cnbd_state(cnbd_connection *connection);

/// What the server says; of a ready connection.
int cnbd_get_facts(cnbd_connection *connection, cnbd_facts *facts);

/// The socket of a ready connection, which belongs to it.
int cnbd_descriptor(cnbd_connection *connection);

/// Whether the connection waits for its socket to become writable. It always waits for readable.
bool cnbd_wants_to_write(cnbd_connection *connection);

/// The socket is readable, or writable: the connection goes on.
void cnbd_notify(cnbd_connection *connection, bool readable, bool writable);

/// Goes on as far as the socket allows, whether or not it was found ready.
void cnbd_try(cnbd_connection *connection);

/// Starts a command; `tag` is below the capacity and not in flight. The memory stays in place until
/// it was reaped.
int cnbd_read(cnbd_connection *connection, void *memory, size_t byte_count, uint64_t offset,
              uint32_t tag);
int cnbd_write(cnbd_connection *connection, const void *memory, size_t byte_count,
               uint64_t offset, bool fua, uint32_t tag);
int cnbd_zero(cnbd_connection *connection, uint64_t byte_count, uint64_t offset, bool fua,
              bool keeps_space, uint32_t tag);
int cnbd_flush(cnbd_connection *connection, uint32_t tag);

/// Whether there is something to reap.
bool cnbd_has_completions(const cnbd_connection *connection);

/// Takes up to `capacity` completions.
uint32_t cnbd_reap(cnbd_connection *connection, cnbd_completion *completions, uint32_t capacity);

#endif
