/// A region of a device, whatever connection it is reached by: a `ClientRegion`, or a
/// `ReconnectingRegion` that outlives its server.
///
/// Drivers and monitors that take any of them go by this. Each access throws what the type's own
/// throws, `invalidArgument` past the end and for more than 8 bytes before all. Threads: any.
public protocol DeviceRegion: AnyObject, Sendable {
  /// What the server said about it.
  var info: RegionInfo { get }

  /// Reads 1 to 8 bytes as a little-endian number.
  func readWord(at offset: RegionOffset, byteCount: Int) throws(ClientError) -> UInt64
  /// Writes the low 1 to 8 bytes of a number, little-endian, and waits until the device has them.
  func writeWord(_ word: UInt64, at offset: RegionOffset, byteCount: Int) throws(ClientError)
  /// Writes the low 1 to 8 bytes of a number, little-endian, without waiting.
  func postWord(_ word: UInt64, at offset: RegionOffset, byteCount: Int) throws(ClientError)

  /// Whether a read changes nothing in the device, so that one whose answer was lost may be repeated.
  /// False by default.
  func isRepeatable(at offset: RegionOffset, byteCount: Int) -> Bool
  /// Waits while the device's server is away and may come back, at most so long; by default, and where
  /// nothing is to be waited for, not at all.
  func waitWhileAway(atMost limit: Duration)
}

extension DeviceRegion {
  /// Which region.
  public var index: Int { Int(info.index) }
  /// The length in bytes; zero when the device has no such region.
  public var byteCount: UInt64 { info.byteCount }

  /// False.
  public func isRepeatable(at offset: RegionOffset, byteCount: Int) -> Bool { false }
  /// Returns at once.
  public func waitWhileAway(atMost limit: Duration) {}

  /// Reads a little-endian integer.
  ///
  /// - Throws: as ``readWord(at:byteCount:)``.
  public func read<T: FixedWidthInteger>(
    at offset: RegionOffset, as type: T.Type = T.self
  ) throws(ClientError) -> T {
    T(truncatingIfNeeded: try readWord(at: offset, byteCount: MemoryLayout<T>.size))
  }

  /// Writes a little-endian integer and waits until the device has it.
  ///
  /// - Throws: as ``writeWord(_:at:byteCount:)``.
  public func write<T: FixedWidthInteger>(
    _ value: T, at offset: RegionOffset
  ) throws(ClientError) {
    try writeWord(
      UInt64(truncatingIfNeeded: value), at: offset, byteCount: MemoryLayout<T>.size)
  }

  /// Writes a little-endian integer without waiting.
  ///
  /// - Throws: as ``postWord(_:at:byteCount:)``.
  public func post<T: FixedWidthInteger>(
    _ value: T, at offset: RegionOffset
  ) throws(ClientError) {
    try postWord(UInt64(truncatingIfNeeded: value), at: offset, byteCount: MemoryLayout<T>.size)
  }
}

extension ClientRegion: DeviceRegion {}
