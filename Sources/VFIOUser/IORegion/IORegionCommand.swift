/// One access as it travels over an ioregionfd: a command of 32 bytes.
///
/// ```
/// info (4)  padding (4)  user_data (8)  offset (8)  data (8)
/// info: bits 0-3 the command, 4-5 the size as a power of two, 6 whether a response is awaited
/// ```
///
/// Source: the ioregionfd design, "Wire protocol".
public struct IORegionCommand: Hashable, Sendable {
  /// The length of an encoded command in bytes.
  public static let byteCount = 32

  /// What an access does.
  public enum Operation: UInt32, Hashable, Sendable {
    /// The driver reads; the response carries the value.
    case read = 0
    /// The driver writes `data`.
    case write = 1
  }

  /// What the access does.
  public var operation: Operation
  /// How many bytes it moves: 1, 2, 4 or 8.
  public var accessByteCount: Int
  /// Whether the sender waits for a response. A read always does, whatever its bit says.
  public var wantsResponse: Bool
  /// What was given for the range when it was registered; opaque to who sends the command.
  public var userData: UInt64
  /// Where in the registered range, in bytes.
  public var offset: UInt64
  /// The value to write, zero-extended; zero for a read. The host's byte order at any width.
  public var data: UInt64

  /// A read of `accessByteCount` bytes (1, 2, 4 or 8).
  public static func read(
    at offset: UInt64, byteCount accessByteCount: Int, userData: UInt64
  ) -> IORegionCommand {
    IORegionCommand(
      operation: .read, accessByteCount: accessByteCount, wantsResponse: true, userData: userData,
      offset: offset, data: 0)
  }

  /// A write of the low `accessByteCount` bytes (1, 2, 4 or 8) of `data`.
  ///
  /// - Parameter isPosted: whether nobody waits for a response.
  public static func write(
    _ data: UInt64, at offset: UInt64, byteCount accessByteCount: Int, userData: UInt64,
    isPosted: Bool = false
  ) -> IORegionCommand {
    IORegionCommand(
      operation: .write, accessByteCount: accessByteCount, wantsResponse: !isPosted,
      userData: userData, offset: offset, data: data.truncated(toByteCount: accessByteCount))
  }

  /// Makes a command; nothing is checked.
  public init(
    operation: Operation, accessByteCount: Int, wantsResponse: Bool, userData: UInt64,
    offset: UInt64, data: UInt64
  ) {
    self.operation = operation
    self.accessByteCount = accessByteCount
    self.wantsResponse = wantsResponse
    self.userData = userData
    self.offset = offset
    self.data = data
  }

  /// The first four bytes of the encoded command.
  @inline(__always)
  public var info: UInt32 {
    // A size that is no power of two is our own mistake, and comes out as the next smaller one.
    let exponent = UInt32(truncatingIfNeeded: accessByteCount.leadingZeroBitCount ^ 63) & 3
    return operation.rawValue | exponent << 4 | (wantsResponse ? 1 << 6 : 0)
  }

  /// Takes the fields of a command apart.
  ///
  /// - Throws: `badFlags` for a command that is neither read nor write, or a reserved bit that is set;
  ///   bits 7 and up are reserved, and so is the padding.
  @inline(__always)
  public init(
    info: UInt32, padding: UInt32 = 0, userData: UInt64, offset: UInt64, data: UInt64
  ) throws(WireError) {
    guard let operation = Operation(rawValue: info & 0xf) else {
      throw WireError(.badFlags, "an ioregionfd command is neither a read nor a write")
    }
    guard info >> 7 == 0, padding == 0 else {
      throw WireError(.badFlags, "an ioregionfd command has reserved bits set")
    }
    self.operation = operation
    accessByteCount = 1 << Int(info >> 4 & 3)
    wantsResponse = operation == .read || info & 1 << 6 != 0
    self.userData = userData
    self.offset = offset
    self.data = data.truncated(toByteCount: accessByteCount)
  }

  /// Decodes a command.
  ///
  /// - Throws: `truncated` or `oversized` when it has not 32 bytes, else as the initialiser above.
  public init(decoding bytes: RawSpan) throws(WireError) {
    guard bytes.byteCount <= Self.byteCount else {
      throw WireError(.oversized, "an ioregionfd command has more than 32 bytes")
    }
    try self.init(
      info: try bytes.load(at: 0), padding: try bytes.load(at: 4),
      userData: try bytes.load(at: 8), offset: try bytes.load(at: 16),
      data: try bytes.load(at: 24))
  }

  /// Writes the 32 bytes into `bytes` at `offset`; throws `truncated` when they do not fit.
  public func encode(into bytes: inout MutableRawSpan, at position: Int = 0) throws(WireError) {
    try bytes.store(info, at: position)
    try bytes.store(UInt32(0), at: position + 4)
    try bytes.store(userData, at: position + 8)
    try bytes.store(offset, at: position + 16)
    try bytes.store(data, at: position + 24)
  }
}

extension UInt64 {
  /// The low 1, 2, 4 or 8 bytes.
  @inlinable @inline(__always)
  public func truncated(toByteCount byteCount: Int) -> UInt64 {
    byteCount >= 8 ? self : self & ((1 << UInt64(8 * byteCount)) - 1)
  }
}
