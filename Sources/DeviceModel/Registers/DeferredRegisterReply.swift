import VFIOUser

/// The reply to a register access that the device answers later.
///
/// Completing it twice, or too late (after a reset or a disconnect), does nothing; dropping it
/// without completing answers `EIO`.
///
/// Threads: any.
public struct DeferredRegisterReply: Sendable {
  let reply: DeferredReply
  let accessedMask: UInt64
  let readable: UInt64

  /// Answers a read.
  ///
  /// - Parameter value: the whole register's value, of which the access gets the part that it read.
  public func complete(value: UInt64) {
    let shift = UInt64(accessedMask.trailingZeroBitCount)
    let bytes = (0..<(accessedMask.nonzeroBitCount / 8)).map { byte in
      UInt8(truncatingIfNeeded: (value & readable) >> (shift + UInt64(byte * 8)))
    }
    reply.complete(with: bytes)
  }

  /// Answers a write.
  public func complete() { reply.complete() }

  /// Answers with an error.
  public func fail(_ error: Errno) { reply.fail(error) }
}
