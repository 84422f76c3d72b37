// The C side of the package: what Swift cannot express or import by itself on Linux.
//
// Functions return 0 or a count on success and a negative errno on failure; they never touch errno.
#ifndef CVFIOUSER_LINUX_H
#define CVFIOUSER_LINUX_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#ifndef F_SEAL_SHRINK
#define F_SEAL_SHRINK 0x0002
#endif

/// The most descriptors that one message can carry (the kernel's SCM_MAX_FD).
#define CVFU_MAX_DESCRIPTORS 253

/// Receives without blocking, unless `waiting`: then as the socket's own mode says.
/// Returns the byte count, 0 at end of stream, or -errno.
/// Received descriptors (close-on-exec) go to `descriptors`, which holds CVFU_MAX_DESCRIPTORS.
/// `truncated` tells that the kernel had to drop some.
ssize_t cvfu_receive(int socket, void *buffer, size_t byte_count, int *descriptors,
                     size_t *descriptor_count, bool *truncated, bool waiting);

/// Sends without blocking and without SIGPIPE. Returns the byte count or -errno.
ssize_t cvfu_send(int socket, const void *buffer, size_t byte_count, const int *descriptors,
                  size_t descriptor_count);

/// As cvfu_send without descriptors, of two buffers in a row.
ssize_t cvfu_send2(int socket, const void *first, size_t first_count, const void *second,
                   size_t second_count);

/// Anonymous shared memory of `byte_count` bytes that nobody can resize (sealed). Returns the
/// descriptor or -errno.
int cvfu_shared_memory(const char *name, uint64_t byte_count);

/// The seals of a memory file, or -errno where it has none.
int cvfu_seals(int descriptor);

/// Whether a memory file cannot become shorter any more.
bool cvfu_is_sealed_against_shrinking(int descriptor);

/// How many CPUs the calling thread may run on, or -errno.
int cvfu_allowed_cpu_count(void);

/// Names the calling thread for tools; the first 15 bytes count.
void cvfu_name_thread(const char *name);

/// Nanoseconds of CLOCK_MONOTONIC.
uint64_t cvfu_monotonic_nanoseconds(void);

/// Listens on a UNIX socket path. Returns the descriptor or -errno.
int cvfu_listen(const char *path, int backlog);

/// Connects to a UNIX socket path. Returns the descriptor (non-blocking) or -errno.
int cvfu_connect(const char *path);

/// Accepts one connection (non-blocking, close-on-exec). Returns the descriptor or -errno.
int cvfu_accept(int socket);

/// Makes a connected pair (non-blocking, close-on-exec). Returns 0 or -errno.
int cvfu_socket_pair(int *ends);

/// 1 when the socket listens, 0 when it is connected, -errno when it is no socket.
int cvfu_is_listening(int socket);

/// Sets or clears O_NONBLOCK. Returns 0 or -errno.
int cvfu_set_nonblocking(int descriptor, bool nonblocking);

/// A second descriptor of the same open file, close-on-exec. Returns it or -errno.
int cvfu_duplicate(int descriptor);

/// Whether O_NONBLOCK is set: 1, 0 or -errno.
int cvfu_is_nonblocking(int descriptor);

/// Maps a shared span of a file. Returns NULL and sets `error` to a positive errno on failure.
void *cvfu_map(int descriptor, uint64_t offset, size_t byte_count, bool readable, bool writable,
               int *error);

/// A pause for spin loops.
static inline void cvfu_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/// Sleeps while the 32-bit word has the value `expected`, among threads of this process, until
/// `deadline` (nanoseconds of CLOCK_MONOTONIC; UINT64_MAX for none). Returns 0, or -EAGAIN for another
/// value, -EINTR for a signal, -ETIMEDOUT.
int cvfu_futex_wait(const void *word, uint32_t expected, uint64_t deadline);

/// Wakes everybody who sleeps on the word. Returns how many, or -errno.
int cvfu_futex_wake(const void *word);

// --- Eventfds whose open file a peer shares, and may make blocking at any time ---

/// Adds one to an eventfd, without blocking; a full counter may stay as it is. Returns 0 or -errno.
///
/// Where `cvfu_event_signal_is_safe` says no, a peer can make the call block until it takes the counter.
int cvfu_event_signal(int descriptor);

/// Whether no peer can make `cvfu_event_signal` block: the kernel has asynchronous I/O, and this process may
/// use it.
bool cvfu_event_signal_is_safe(void);

/// Takes an eventfd's value and sets it to zero without blocking. Returns 0 or -errno, -EAGAIN for zero.
int cvfu_event_take(int descriptor, uint64_t *value);

/// Sets an eventfd to zero without blocking. Returns 0 or -errno.
int cvfu_event_consume(int descriptor);

/// What cvfu_event_wait found.
enum { CVFU_EVENT_RAISED = 1, CVFU_PEER_GONE = 2 };

/// Waits until the eventfd is raised or the peer of a socket (-1 for none) is gone, for at most so many
/// milliseconds. Returns what it found, 0 when the time is over, or -errno; -EINTR after a signal.
int cvfu_event_wait(int event, int liveness, int milliseconds);

// --- Guard against files that shrink under a mapping (SIGBUS) ---


/// Installs the handler; what it does not know goes to the handler that was there. Returns 0 or -errno.
int cvfu_install_bus_error_handler(void);

/// Registers a mapping. Returns its slot, or -ENOSPC. A slot is valid until it is released.
int cvfu_guard_mapping(const void *start, size_t byte_count);

/// Forgets a mapping.
void cvfu_release_mapping(int slot);

/// Whether a page of the mapping was lost.
bool cvfu_mapping_is_lost(int slot);

/// How many pages were lost so far, in the whole process; use cvfu_loss_count.
extern uint64_t cvfu_losses;

/// How many pages were lost so far, in the whole process. What this thread loaded or stored before is
/// counted: the handler runs in its midst, and the compiler moves no access across the fence.
static inline uint64_t cvfu_loss_count(void) {
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
  return __atomic_load_n(&cvfu_losses, __ATOMIC_RELAXED);
}

// --- The device's end of an ioregionfd ---

/// A command of an ioregionfd as it travels.
struct cvfu_port_command {
  uint32_t info;
  uint32_t padding;
  uint64_t user_data;
  uint64_t offset;
  uint64_t data;
};

/// Makes a connected pair that keeps the boundaries of what is sent (SOCK_SEQPACKET, close-on-exec,
/// blocking). Returns 0 or -errno.
int cvfu_port_pair(int *ends);

/// Takes one command without blocking. Returns the length of what was sent, which may be more or less
/// than a command's; 0 at the end of the stream, and for a message without bytes; or -errno.
ssize_t cvfu_port_receive(int socket, struct cvfu_port_command *command);

/// Sends a response of 32 bytes without blocking and without SIGPIPE. Returns 0 or -errno.
int cvfu_port_respond(int socket, uint64_t data);

/// Whether the peer of a connected socket has closed its end.
bool cvfu_has_hung_up(int descriptor);

// --- Byte streams of the host: terminals, pipes, files, sockets ---

/// Reads what is there. Returns the byte count, 0 at the end, or -errno.
ssize_t cvfu_stream_read(int descriptor, void *buffer, size_t byte_count);

/// Writes what there is room for, never raising SIGPIPE. Returns the byte count or -errno.
ssize_t cvfu_stream_write(int descriptor, const void *buffer, size_t byte_count);

/// Opens a file, FIFO or device for appending; makes the file where there is none. Non-blocking.
int cvfu_open_output(const char *path);

/// A second descriptor for a pipe or terminal that is non-blocking without making the first one so;
/// for anything else a duplicate.
int cvfu_reopen(int descriptor, bool writable);

/// Makes a pseudo-terminal. Returns its master (non-blocking) or -errno; `path` gets the other side.
int cvfu_open_pty(char *path, size_t path_byte_count);

/// The events of poll(2) that a descriptor has now, or -errno.
int cvfu_poll_now(int descriptor, short events);

/// Puts a terminal into raw mode, until it is restored or the process exits; one at a time.
/// Returns 1, 0 when the descriptor is no terminal, or -errno.
int cvfu_terminal_make_raw(int descriptor);

/// Gives the terminal its settings back.
void cvfu_terminal_restore(void);

#endif
