import CVFIOUserLinux

/// A file descriptor with exactly one owner, closed when the owner lets go of it.
///
/// Threads: may be moved between threads; the descriptor's own rules apply to concurrent use.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The kernel's number, for a call that borrows the descriptor. Never close it.
  public let rawValue: CInt

  /// Takes over a descriptor that nobody else will close.
  public init(adopting rawValue: CInt) { self.rawValue = rawValue }

  deinit { close(rawValue) }

  /// Gives up ownership: the caller closes the returned descriptor.
  public consuming func release() -> CInt {
    let descriptor = rawValue
    discard self
    return descriptor
  }

  /// A second descriptor for the same open file, close-on-exec.
  ///
  /// - Throws: `EMFILE` or `ENFILE` when no descriptor is left.
  public func duplicate() throws(Errno) -> OwnedDescriptor {
    OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(rawValue)))
  }
}
