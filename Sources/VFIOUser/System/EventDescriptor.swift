import CVFIOUserLinux

/// An eventfd: a counter in the kernel that one side raises and the other waits for.
///
/// A peer may hold the same open file, fill the counter and make it blocking, at any time: no call here
/// waits for a peer because of that.
///
/// Source: eventfd(2). Threads: any.
public struct EventDescriptor: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor
  /// Whether a peer may hold the same open file.
  private let isShared: Bool

  /// A new counter at zero, non-blocking and close-on-exec, which may be given to peers.
  ///
  /// - Throws: `EMFILE` or `ENFILE` when no descriptor is left.
  public init() throws(Errno) { try self.init(isShared: true) }

  /// A new counter at zero.
  ///
  /// - Parameter isShared: false for one that no peer ever gets, which costs a little less.
  package init(isShared: Bool) throws(Errno) {
    let raw = try Errno.check(eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK)))
    descriptor = OwnedDescriptor(adopting: raw)
    self.isShared = isShared
  }

  /// Takes over a descriptor that a peer sent as an eventfd.
  ///
  /// - Throws: `EINVAL` when it is something else. The descriptor is closed then.
  public init(adopting descriptor: consuming OwnedDescriptor) throws(Errno) {
    guard Self.isEventDescriptor(descriptor.rawValue) else { throw .invalidArgument }
    isShared = true
    self.descriptor = descriptor
  }

  /// The kernel's number, for a call that borrows the descriptor.
  public var rawValue: CInt { descriptor.rawValue }

  /// A second descriptor for the same counter.
  ///
  /// - Throws: `EMFILE` or `ENFILE` when no descriptor is left.
  public func duplicate() throws(Errno) -> EventDescriptor {
    try EventDescriptor(adopting: try descriptor.duplicate())
  }

  /// Adds one to the counter, and never blocks.
  ///
  /// A counter at its maximum stays there: whoever waits for it is due anyway. Where a kernel or a sandbox
  /// has no asynchronous I/O, a hostile peer can block one call, until it takes the counter or a signal
  /// comes.
  public func signal() {
    guard !isShared else {
      _ = cvfu_event_signal(descriptor.rawValue)
      return
    }
    var one: UInt64 = 1
    // Safety: the kernel reads the eight bytes of a local variable.
    _ = unsafe write(descriptor.rawValue, &one, 8)
  }

  /// Takes the counter's value and sets it to zero; nil when it is zero.
  @discardableResult
  public func consume() -> UInt64? {
    var value: UInt64 = 0
    // Safety: the call writes the eight bytes of a local variable.
    let result = unsafe cvfu_event_take(descriptor.rawValue, &value)
    return result == 0 ? value : nil
  }

  /// Waits until the counter is raised and takes its value.
  ///
  /// - Parameter timeout: the longest wait, rounded up to milliseconds.
  /// - Returns: the value, or nil when the time is over.
  public func wait(timeout: Duration) -> UInt64? {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    while true {
      if let value = consume() { return value }
      let left = deadline.remainingMilliseconds
      guard left > 0 else { return nil }
      var state = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
      // Safety: one element, for the time of the call.
      _ = unsafe poll(&state, 1, left)
    }
  }

  /// Whether the kernel calls it an eventfd; where /proc is absent nothing can tell, and it passes.
  private static func isEventDescriptor(_ descriptor: CInt) -> Bool {
    let expected = Array("anon_inode:[eventfd]".utf8)
    var name = [UInt8](repeating: 0, count: expected.count + 1)
    // Safety: the kernel writes at most `name.count` bytes into an array of that size.
    let count = unsafe name.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return -1 }
      return unsafe readlink("/proc/self/fd/\(descriptor)", base, bytes.count)
    }
    if count < 0 {
      let error = Errno.current
      return error == .noSuchFileOrDirectory || error == .permissionDenied
    }
    return Array(name.prefix(count)) == expected
  }
}
