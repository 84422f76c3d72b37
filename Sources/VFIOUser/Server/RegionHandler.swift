/// What answers the accesses to a range of a device region.
///
/// A register block is one; plain memory, a ROM and a table are others. The session checks bounds
/// and rights before it calls: `offset` is relative to the handler's own range and
/// `offset + bytes.byteCount` never passes its end. An access may have any width and alignment up
/// to the transfer limit of the connection.
///
/// Threads: a handler runs on the loop that its range names, and on no other.
public protocol RegionHandler: AnyObject {
  /// Fills `bytes` with what the region holds at `offset`.
  ///
  /// `bytes` is the reply's own payload, zeroed. Throwing answers the client with that error.
  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno)

  /// Takes `bytes`, written by the client at `offset`.
  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno)
}
