/// A region of a device, as a client sees it.
///
/// Where the server lets it be mapped, accesses are loads and stores of mapped memory; elsewhere
/// they are messages. A mapped store costs no message and is seen by the server when it looks.
///
/// Threads: any. It keeps its client alive.
public final class ClientRegion: Sendable {
  /// The connection that it belongs to.
  public let client: DeviceClient
  /// What the server said about it.
  public let info: RegionInfo
  private let areas: [MappedArea]

  init(client: DeviceClient, info: RegionInfo, areas: [MappedArea]) {
    self.client = client
    self.info = info
    self.areas = areas
  }

  /// Which region.
  public var index: Int { Int(info.index) }
  /// The length in bytes; zero when the device has no such region.
  public var byteCount: UInt64 { info.byteCount }
  /// The parts that are mapped into this process.
  public var mappedAreas: [RegionArea] { areas.map(\.area) }

  /// The same region, reached by messages alone.
  public var withoutMappings: ClientRegion {
    ClientRegion(client: client, info: info, areas: [])
  }

  /// The memory of a mapped area, which nobody can take away: to be shown to a guest.
  ///
  /// - Throws: `ENOENT` when the area is none of `mappedAreas`, `EPERM` when the server can shrink
  ///   its file (it is not sealed), `EINVAL` when it does not consist of whole pages, else what
  ///   mmap says.
  public func sealedMemory(of area: RegionArea) throws(Errno) -> SharedMemory {
    guard let mapped = areas.first(where: { $0.area == area }) else { throw .noSuchFileOrDirectory }
    return try mapped.sealedMemory()
  }

  // MARK: One value

  /// Reads a little-endian integer.
  ///
  /// - Throws: `invalidArgument` past the end, `rejected`, `shortTransfer`, `memoryLost`, and what
  ///   every call throws (see ``DeviceClient``).
  @inlinable
  public func read<T: FixedWidthInteger>(
    at offset: RegionOffset, as type: T.Type = T.self
  ) throws(ClientError) -> T {
    T(truncatingIfNeeded: try readWord(at: offset, byteCount: MemoryLayout<T>.size))
  }

  /// Writes a little-endian integer and waits until the device has it; throws as `read`.
  @inlinable
  public func write<T: FixedWidthInteger>(
    _ value: T, at offset: RegionOffset
  ) throws(ClientError) {
    try writeWord(
      UInt64(truncatingIfNeeded: value), at: offset, byteCount: MemoryLayout<T>.size)
  }

  /// Writes a little-endian integer without waiting for the device: a later call on this connection
  /// finds it done.
  ///
  /// Where the socket is full it waits until the server has read enough of it, at most
  /// ``ClientOptions/timeout``.
  /// - Throws: `invalidArgument` past the end, `memoryLost`, `timedOut` when the socket had no room
  ///   in time (the write stays queued), `disconnected` or `protocolViolation` when the
  ///   connection is over. Nobody learns of an error of the device.
  @inlinable
  public func post<T: FixedWidthInteger>(
    _ value: T, at offset: RegionOffset
  ) throws(ClientError) {
    try postWord(
      UInt64(truncatingIfNeeded: value), at: offset, byteCount: MemoryLayout<T>.size)
  }

  /// Reads 1 to 8 bytes as a little-endian number; throws as `read(at:as:)`.
  public func readWord(at offset: RegionOffset, byteCount: Int) throws(ClientError) -> UInt64 {
    try readWord(at: offset, byteCount: byteCount, timeout: nil)
  }

  /// The same with a bound of the caller's; nil is the client's, as everywhere below.
  @inline(__always)
  func readWord(
    at offset: RegionOffset, byteCount: Int, timeout: Duration?
  ) throws(ClientError) -> UInt64 {
    try check(offset, byteCount, isWord: true)
    for area in areas {
      if let position = area.position(of: offset, byteCount: byteCount) {
        return try area.readWord(at: position, byteCount: byteCount)
      }
    }
    return try client.readWord(info.index, offset, byteCount: byteCount, timeout: timeout)
  }

  /// Writes the low 1 to 8 bytes of a number, little-endian; throws as `write(_:at:)`.
  public func writeWord(
    _ word: UInt64, at offset: RegionOffset, byteCount: Int
  ) throws(ClientError) {
    try writeWord(word, at: offset, byteCount: byteCount, timeout: nil)
  }

  @inline(__always)
  func writeWord(
    _ word: UInt64, at offset: RegionOffset, byteCount: Int, timeout: Duration?
  ) throws(ClientError) {
    try check(offset, byteCount, isWord: true)
    if info.flags.contains(.write) {
      for area in areas {
        if let position = area.position(of: offset, byteCount: byteCount) {
          return try area.writeWord(word, at: position, byteCount: byteCount)
        }
      }
    }
    try client.writeWord(info.index, offset, word, byteCount: byteCount, timeout: timeout)
  }

  /// Writes the low 1 to 8 bytes of a number; waits and throws as `post(_:at:)`.
  public func postWord(
    _ word: UInt64, at offset: RegionOffset, byteCount: Int
  ) throws(ClientError) {
    try check(offset, byteCount, isWord: true)
    if info.flags.contains(.write) {
      for area in areas {
        if let position = area.position(of: offset, byteCount: byteCount) {
          return try area.writeWord(word, at: position, byteCount: byteCount)
        }
      }
    }
    try client.postWord(info.index, offset, word, byteCount: byteCount)
  }

  // MARK: Many bytes

  /// Fills `bytes` from the region; throws as `read(at:as:)`.
  ///
  /// What lies wholly in a mapped area is copied from there; anything else is read by messages,
  /// each as long as the connection allows.
  public func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan
  ) throws(ClientError) {
    try read(at: offset, into: &bytes, timeout: nil)
  }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, timeout: Duration?
  ) throws(ClientError) {
    try check(offset, bytes.byteCount, isWord: false)
    for area in areas {
      if let position = area.position(of: offset, byteCount: bytes.byteCount) {
        return try area.read(at: position, into: &bytes)
      }
    }
    try client.readBytes(info.index, offset, into: &bytes, timeout: timeout)
  }

  /// Reads `byteCount` bytes; throws as `read(at:as:)`.
  public func read(at offset: RegionOffset, byteCount: Int) throws(ClientError) -> [UInt8] {
    guard byteCount >= 0 else { throw Self.outside }
    try check(offset, byteCount, isWord: false)
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try bytes.withMutableRawSpan { span throws(ClientError) in
      try read(at: offset, into: &span)
    }
    return bytes
  }

  /// Writes bytes and waits until the device has them; throws as `write(_:at:)`.
  public func write(at offset: RegionOffset, from bytes: RawSpan) throws(ClientError) {
    try write(at: offset, from: bytes, isPosted: false, timeout: nil)
  }

  /// Writes bytes; waits and throws as `post(_:at:)`.
  ///
  /// More than the transfer limit takes several messages: after an error some may have been sent.
  public func post(at offset: RegionOffset, from bytes: RawSpan) throws(ClientError) {
    try write(at: offset, from: bytes, isPosted: true, timeout: nil)
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, isPosted: Bool, timeout: Duration?
  ) throws(ClientError) {
    try check(offset, bytes.byteCount, isWord: false)
    if info.flags.contains(.write) {
      for area in areas {
        if let position = area.position(of: offset, byteCount: bytes.byteCount) {
          return try area.write(at: position, from: bytes)
        }
      }
    }
    try client.writeBytes(
      info.index, offset, from: bytes, isPosted: isPosted, timeout: timeout)
  }

  // MARK: Pipelined

  /// Sends a read and does not wait for its reply; see `DeviceClient.finishRead`. Always a message.
  ///
  /// Where the socket is full it waits for room, as ``post(_:at:)`` does.
  /// - Throws: `invalidArgument` past the end or beyond the transfer limit, `tooManyPending`,
  ///   `timedOut` when the socket had no room in time, `disconnected` or `protocolViolation` when
  ///   the connection is over.
  public func startRead(at offset: RegionOffset, byteCount: Int) throws(ClientError)
    -> PendingReply
  {
    try check(offset, byteCount, isWord: false)
    return try client.startRead(info.index, offset, byteCount: byteCount)
  }

  /// Sends a write and does not wait for its reply; see `DeviceClient.finishWrite`. Always a
  /// message.
  ///
  /// - Throws: as ``startRead(at:byteCount:)``.
  public func startWrite(at offset: RegionOffset, from bytes: RawSpan) throws(ClientError)
    -> PendingReply
  {
    try check(offset, bytes.byteCount, isWord: false)
    return try client.startWrite(info.index, offset, from: bytes)
  }

  @inline(__always)
  private func check(
    _ offset: RegionOffset, _ byteCount: Int, isWord: Bool
  ) throws(ClientError) {
    guard byteCount >= (isWord ? 1 : 0), !isWord || byteCount <= 8,
      offset.rawValue <= info.byteCount, UInt64(byteCount) <= info.byteCount - offset.rawValue
    else { throw Self.outside }
  }

  private static var outside: ClientError {
    ClientError(.invalidArgument, .invalidArgument, "the access is not inside the region")
  }
}
