import CIORegionRing
public import VFIOUser

/// Serves the sockets of ioregionfds with io_uring.
///
/// Each socket has a receive in flight; one system call an access sends the response and asks for the
/// next command. A loop that spins looks for commands in the ring, without a system call.
///
/// Source: the ioregionfd design, "Polling"; io_uring(7).
public struct IORegionRing: IORegionEngine {
  /// Makes the engine; the kernel is asked when a loop first serves a socket.
  public init() {}

  /// Makes a ring for one loop.
  ///
  /// - Throws: `ENOSYS` or `EPERM` where the kernel has no io_uring or forbids it.
  public func makeService(on loop: EventLoop) throws(Errno) -> any IORegionService {
    try RingService(loop)
  }
}
