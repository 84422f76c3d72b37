import CVFIOUserLinux
import Glibc
import VFIOUser

/// A process that this one has started, killed and reaped when its owner lets go of it.
///
/// Threads: one owner.
package final class ChildProcess {
  /// How a process ended.
  package enum Ending: Sendable, Equatable {
    /// It exited with this code.
    case exited(Int32)
    /// A signal killed it.
    case killed(Int32)
  }

  /// The kernel's number of the process.
  package let processID: Int32
  /// How it ended; nil while it runs.
  package private(set) var ending: Ending?

  /// Starts `executable`.
  ///
  /// - Parameters:
  ///   - executable: its path.
  ///   - arguments: what follows the program's name.
  ///   - descriptors: what the child inherits: descriptors of this process by the child's number.
  ///     Standard input, output and error are inherited unless they are named here; others are not.
  /// - Throws: what posix_spawn(3) says.
  package init(
    _ executable: String, _ arguments: [String], descriptors: [CInt: CInt] = [:]
  ) throws(Errno) {
    // Safety: all structures are local, initialised by the calls made for that, and destroyed here.
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (target, source) in descriptors.sorted(by: { $0.key < $1.key }) {
      unsafe posix_spawn_file_actions_adddup2(&actions, source, target)
    }
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe sigaddset(&signals, SIGPIPE)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    // Safety: the copies live until the call has returned, and end with nil.
    var words = unsafe ([executable] + arguments).map { unsafe strdup($0) }
    unsafe words.append(nil)
    defer { unsafe words.forEach { unsafe free($0) } }
    var processID: pid_t = 0
    let result = unsafe posix_spawn(
      &processID, executable, &actions, &attributes, words, environ)
    guard result == 0 else { throw Errno(rawValue: result) }
    self.processID = processID
  }

  deinit {
    guard ending == nil else { return }
    send(SIGKILL)
    reap(options: 0)
  }

  /// Sends a signal; does nothing once the process was reaped.
  package func send(_ signal: Int32) {
    if ending == nil { _ = kill(processID, signal) }
  }

  /// Waits for the process's end.
  ///
  /// - Returns: how it ended, or nil when it still runs after `timeout`.
  @discardableResult
  package func wait(timeout: Duration) -> Ending? {
    let clock = ContinuousClock()
    let deadline = clock.now + timeout
    while ending == nil {
      reap(options: WNOHANG)
      guard ending == nil, clock.now < deadline else { break }
      usleep(1000)
    }
    return ending
  }

  private func reap(options: Int32) {
    var status: Int32 = 0
    var result: pid_t
    repeat {
      // Safety: the kernel writes the status of our own child into a local variable.
      result = unsafe waitpid(processID, &status, options)
    } while result < 0 && errno == EINTR
    guard result == processID else { return }
    let signal = status & 0x7f
    ending = signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal)
  }
}
