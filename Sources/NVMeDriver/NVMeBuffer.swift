public import VFIOUser

/// Memory that the controller reaches: a part of the driver's pool.
public struct NVMeBuffer: Sendable {
  /// Where the controller finds it.
  public let address: DMAAddress
  /// Its size in bytes.
  public let byteCount: Int
  let memory: SharedMemory
  let offset: Int

  /// Copies bytes out, from `start` bytes into the buffer.
  ///
  /// - Throws: ``NVMeDriverError`` past the end.
  public func read(at start: Int = 0, byteCount: Int? = nil) throws(NVMeDriverError) -> [UInt8] {
    let count = byteCount ?? self.byteCount - start
    try check(start, count)
    var bytes = [UInt8](repeating: 0, count: count)
    do {
      try bytes.withMutableRawSpan { (span) throws(Errno) in
        try memory.read(at: offset + start, into: &span)
      }
    } catch {
      throw NVMeDriverError(.connection, "the buffer is gone: \(error)")
    }
    return bytes
  }

  /// Copies `bytes` in, from `start` bytes into the buffer.
  ///
  /// - Throws: ``NVMeDriverError`` past the end.
  public func write(_ bytes: [UInt8], at start: Int = 0) throws(NVMeDriverError) {
    try check(start, bytes.count)
    do throws(Errno) { try memory.write(at: offset + start, from: bytes.rawSpan) } catch {
      throw NVMeDriverError(.connection, "the buffer is gone: \(error)")
    }
  }

  /// A part of the buffer.
  ///
  /// - Throws: ``NVMeDriverError`` past the end.
  public func part(at start: Int, byteCount: Int) throws(NVMeDriverError) -> NVMeBuffer {
    try check(start, byteCount)
    return NVMeBuffer(
      address: DMAAddress(address.rawValue + UInt64(start)), byteCount: byteCount,
      memory: memory, offset: offset + start)
  }

  private func check(_ start: Int, _ count: Int) throws(NVMeDriverError) {
    guard start >= 0, count >= 0, start <= byteCount, count <= byteCount - start else {
      throw NVMeDriverError(.invalidArgument, "outside a buffer of \(byteCount) bytes")
    }
  }
}
