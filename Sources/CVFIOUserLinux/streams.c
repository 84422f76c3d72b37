#define _GNU_SOURCE
#include "CVFIOUserLinux.h"
#include <termios.h>

ssize_t cvfu_stream_read(int descriptor, void *buffer, size_t byte_count) {
  ssize_t count;
  do {
    count = read(descriptor, buffer, byte_count);
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

ssize_t cvfu_stream_write(int descriptor, const void *buffer, size_t byte_count) {
  ssize_t count = cvfu_send(descriptor, buffer, byte_count, NULL, 0);
  if (count != -ENOTSOCK) return count;
  // Not a socket: a broken pipe raises SIGPIPE for this thread. Hold the signal back and take it, so
  // that the process need not change how it treats SIGPIPE.
  sigset_t pipe_set, old_set, pending;
  sigemptyset(&pipe_set);
  sigaddset(&pipe_set, SIGPIPE);
  sigpending(&pending);
  bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_set, &old_set);
  do {
    count = write(descriptor, buffer, byte_count);
  } while (count < 0 && errno == EINTR);
  ssize_t result = count < 0 ? -errno : count;
  if (result == -EPIPE && !was_pending) {
    struct timespec none = {0, 0};
    while (sigtimedwait(&pipe_set, NULL, &none) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &old_set, NULL);
  return result;
}

int cvfu_open_output(const char *path) {
  int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
  return descriptor < 0 ? -errno : descriptor;
}

int cvfu_reopen(int descriptor, bool writable) {
  struct stat status;
  if (fstat(descriptor, &status) < 0) return -errno;
  // A file opened again would begin at its start, and it never blocks; a socket cannot be reopened.
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return cvfu_duplicate(descriptor);
  char path[32];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
  int copy = open(path, (writable ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  return copy < 0 ? cvfu_duplicate(descriptor) : copy;
}

static int make_raw(int descriptor, struct termios *saved) {
  struct termios settings;
  if (tcgetattr(descriptor, &settings) < 0) return -errno;
  if (saved) *saved = settings;
  tcflag_t output = settings.c_oflag;
  cfmakeraw(&settings);
  // On somebody's terminal lines still end with a carriage return, for messages that others write.
  if (saved) settings.c_oflag = output;
  return tcsetattr(descriptor, TCSANOW, &settings) < 0 ? -errno : 0;
}

int cvfu_open_pty(char *path, size_t path_byte_count) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return -errno;
  int error = 0, slave = -1;
  if (grantpt(master) < 0 || unlockpt(master) < 0) {
    error = errno;
  } else if ((error = ptsname_r(master, path, path_byte_count)) == 0) {
    // Opened and closed once, the other side counts as hung up until somebody opens it.
    slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    error = slave < 0 ? errno : -make_raw(slave, NULL);
  }
  if (slave >= 0) close(slave);
  if (error) {
    close(master);
    return -error;
  }
  return master;
}

int cvfu_poll_now(int descriptor, short events) {
  struct pollfd entry = {.fd = descriptor, .events = events};
  int count;
  do {
    count = poll(&entry, 1, 0);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  return count == 0 ? 0 : entry.revents;
}

static pthread_mutex_t terminal_lock = PTHREAD_MUTEX_INITIALIZER;
static int terminal = -1;
static bool restores_at_exit;
static struct termios terminal_settings;

void cvfu_terminal_restore(void) {
  pthread_mutex_lock(&terminal_lock);
  if (terminal >= 0) {
    tcsetattr(terminal, TCSANOW, &terminal_settings);
    close(terminal);
    terminal = -1;
  }
  pthread_mutex_unlock(&terminal_lock);
}

int cvfu_terminal_make_raw(int descriptor) {
  if (!isatty(descriptor)) return 0;
  int copy = cvfu_duplicate(descriptor);
  if (copy < 0) return copy;
  cvfu_terminal_restore();
  pthread_mutex_lock(&terminal_lock);
  int error = make_raw(copy, &terminal_settings);
  if (error) {
    close(copy);
  } else {
    terminal = copy;
    if (!restores_at_exit) atexit(cvfu_terminal_restore);
    restores_at_exit = true;
  }
  pthread_mutex_unlock(&terminal_lock);
  return error ? error : 1;
}
