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
  ///
  /// Throwing answers the client with that error; after a posted write nobody learns of it.
  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno)

  /// Learns that the driver has written `value` at `offset` by way of an ioeventfd.
  ///
  /// Several writes may arrive as one call. Without an implementation it is a posted write.
  ///
  /// - Parameters:
  ///   - byteCount: the size of the writes: 1, 2, 4 or 8, or 0 when the path leaves it open.
  ///   - value: the value that the path matches; nil when it matches any, and the value is lost.
  func notified(at offset: RegionOffset, byteCount: Int, value: UInt64?)
}

extension RegionHandler {
  /// Writes `value`, or zero, as a posted write of `byteCount` bytes, or of 4 where that is open.
  public func notified(at offset: RegionOffset, byteCount: Int, value: UInt64?) {
    var bytes: [8 of UInt8] = .init(repeating: 0)
    var elements = bytes.mutableSpan
    // Safety: any bytes are valid elements.
    var span = unsafe elements.mutableBytes
    // The buffer has eight bytes, so this cannot fail; a posted write's own error reaches nobody.
    try? span.store(value ?? 0, at: 0)
    let count = byteCount == 0 ? 4 : min(byteCount, 8)
    try? write(
      at: offset, from: span.bytes.extracting(0..<count),
      AccessContext(deferral: nil, isPosted: true))
  }
}
