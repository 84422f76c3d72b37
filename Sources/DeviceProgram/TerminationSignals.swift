import CVFIOUserLinux
import Glibc
import VFIOUser

/// SIGTERM, SIGINT and SIGHUP as a descriptor of an event loop.
///
/// Made before any thread, so that no thread takes the signals in the usual way.
package struct TerminationSignals: ~Copyable {
  private let descriptor: OwnedDescriptor

  /// Blocks the signals in this thread, and in the threads that it starts later, and collects them.
  package init() throws(Errno) {
    // Safety: the set is a local variable that is initialised by sigemptyset.
    var signals = Self.set()
    _ = unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    let raw = unsafe signalfd(-1, &signals, CInt(SFD_CLOEXEC | SFD_NONBLOCK))
    guard raw >= 0 else { throw Errno(rawValue: errno) }
    descriptor = OwnedDescriptor(adopting: raw)
  }

  /// The number of the descriptor to watch for reading.
  package var rawValue: CInt { descriptor.rawValue }

  /// Gives the signals their usual effect back: the next one kills the process.
  package static func restore() {
    // Safety: as in the initialiser.
    var signals = set()
    _ = unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// Takes the signal that came to a descriptor of this type, or nil.
  package static func consume(_ descriptor: CInt) -> CInt? {
    var record = signalfd_siginfo()
    let byteCount = MemoryLayout<signalfd_siginfo>.size
    // Safety: the kernel writes at most one record into a local variable of that size.
    guard unsafe read(descriptor, &record, byteCount) == byteCount else { return nil }
    return CInt(record.ssi_signo)
  }

  private static func set() -> sigset_t {
    var signals = sigset_t()
    // Safety: the calls fill a local variable.
    unsafe sigemptyset(&signals)
    for number in [SIGTERM, SIGINT, SIGHUP] { _ = unsafe sigaddset(&signals, number) }
    return signals
  }
}
