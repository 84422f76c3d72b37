import VFIOUser

/// Memory within a BAR that a client may map: its stores reach the device without any message.
///
/// Clients that cannot map it use messages; the device sees the same bytes. Other processes may
/// write at any time: read a value once, check the copy, use the copy.
///
/// Threads: any.
public final class SharedDeviceMemory: RegionHandler {
  /// The size in bytes.
  public let byteCount: Int
  private let memory: SharedMemory
  /// Where it starts in the memory of the whole BAR.
  private let base: Int

  init(_ memory: SharedMemory, base: Int, byteCount: Int) {
    self.memory = memory
    self.base = base
    self.byteCount = byteCount
  }

  /// Reads an aligned 32-bit value at once, with acquire ordering.
  ///
  /// - Throws: `EINVAL` past the end or unaligned.
  public func load32(at offset: Int) throws(Errno) -> UInt32 {
    try check(offset, 4)
    return try memory.load32(at: base + offset)
  }

  /// Writes an aligned 32-bit value at once, with release ordering.
  ///
  /// - Throws: `EINVAL` past the end or unaligned.
  public func store32(_ value: UInt32, at offset: Int) throws(Errno) {
    try check(offset, 4)
    try memory.store32(value, at: base + offset)
  }

  /// Reads bytes; throws `EINVAL` past the end. See ``RegionHandler``.
  public func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    try memory.read(at: try position(offset, bytes.byteCount), into: &bytes)
  }

  /// Writes bytes; throws `EINVAL` past the end. See ``RegionHandler``.
  public func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    try memory.write(at: try position(offset, bytes.byteCount), from: bytes)
  }

  /// Zeros it, as power-on does.
  func reset() {
    let zeros = [UInt8](repeating: 0, count: min(byteCount, 65536))
    var offset = 0
    while offset < byteCount {
      let step = min(zeros.count, byteCount - offset)
      try? memory.write(at: base + offset, from: zeros.rawSpan.extracting(first: step))
      offset += step
    }
  }

  private func position(_ offset: RegionOffset, _ count: Int) throws(Errno) -> Int {
    guard let offset = Int(exactly: offset.rawValue) else { throw .invalidArgument }
    try check(offset, count)
    return base + offset
  }

  private func check(_ offset: Int, _ count: Int) throws(Errno) {
    guard offset >= 0, offset <= byteCount, count <= byteCount - offset else {
      throw .invalidArgument
    }
  }
}
