/// A region of a device that goes on after its server was lost and came back.
///
/// While the server is away an access waits, as long as `ClientOptions.timeout`; see
/// ``ReconnectingClient`` for what becomes of those in flight. Where the region is mapped, a store in
/// the moments between the server's death and its discovery goes to memory that nobody looks at, as
/// does a posted write; `ConnectionEvent.lost` tells.
///
/// Threads: any. It keeps its client alive.
public final class ReconnectingRegion: DeviceRegion {
  /// The client that it belongs to.
  public let client: ReconnectingClient
  /// What the server said about it at first; lengths and rights never change.
  public var info: RegionInfo { slot.info }
  let slot: RegionSlot
  /// Whether loads and stores reach what can be mapped.
  private let usesMappings: Bool
  /// Whether every read may be repeated.
  private let repeatsReads: Bool

  init(
    client: ReconnectingClient, slot: RegionSlot, usesMappings: Bool = true,
    repeatsReads: Bool = false
  ) {
    self.client = client
    self.slot = slot
    self.usesMappings = usesMappings
    self.repeatsReads = repeatsReads
  }

  // MARK: Forms

  /// The same region, reached by messages alone.
  public var withoutMappings: ReconnectingRegion {
    ReconnectingRegion(
      client: client, slot: slot, usesMappings: false, repeatsReads: repeatsReads)
  }

  /// The same region, of whose reads none has a side effect: a prefetchable window of a PCI device.
  public var repeatingReads: ReconnectingRegion {
    ReconnectingRegion(
      client: client, slot: slot, usesMappings: usesMappings, repeatsReads: true)
  }

  // MARK: State

  /// The parts that are mapped into this process now; none while the server is away.
  public var mappedAreas: [RegionArea] { current?.mappedAreas ?? [] }

  /// See ``DeviceRegion``.
  public func isRepeatable(at offset: RegionOffset, byteCount: Int) -> Bool {
    repeatsReads || client.isRepeatable(slot.info, offset, byteCount)
  }

  /// See ``DeviceRegion``.
  public func waitWhileAway(atMost limit: Duration) { client.waitWhileAway(atMost: limit) }

  /// What it is reached through now; nil while the server is away, and until the first access after that.
  var current: ClientRegion? { slot.current(isMapped: usesMappings) }

  /// The form that an access wants.
  func form(of region: ClientRegion) -> ClientRegion {
    usesMappings ? region : region.withoutMappings
  }

  /// Whether an access that the loss met may be repeated: never a write.
  func mayRepeat(reading range: (RegionOffset, Int)?) -> Bool {
    range.map { isRepeatable(at: $0.0, byteCount: $0.1) } ?? false
  }

  // MARK: Accesses

  /// Reads 1 to 8 bytes as a little-endian number.
  ///
  /// - Throws: as `ClientRegion.readWord(at:byteCount:)`; `interruptedByReconnect`, unless the range was
  ///   declared repeatable.
  public func readWord(at offset: RegionOffset, byteCount: Int) throws(ClientError) -> UInt64 {
    try client.access(self, reading: (offset, byteCount)) { region, limit throws(ClientError) in
      try region.readWord(at: offset, byteCount: byteCount, timeout: limit)
    }
  }

  /// Writes the low 1 to 8 bytes of a number, little-endian, and waits until the device has them.
  ///
  /// - Throws: as `ClientRegion.writeWord(_:at:byteCount:)`; `interruptedByReconnect`.
  public func writeWord(
    _ word: UInt64, at offset: RegionOffset, byteCount: Int
  ) throws(ClientError) {
    try client.access(self) { region, limit throws(ClientError) in
      try region.writeWord(word, at: offset, byteCount: byteCount, timeout: limit)
    }
  }

  /// Writes the low 1 to 8 bytes of a number, little-endian, without waiting for the device; it may
  /// wait for the server to come back.
  ///
  /// One that was sent to a server that then died is lost, and nobody is told but by
  /// `ConnectionEvent.lost`.
  /// - Throws: as `ClientRegion.postWord(_:at:byteCount:)`; also as every call of
  ///   ``ReconnectingClient``.
  public func postWord(
    _ word: UInt64, at offset: RegionOffset, byteCount: Int
  ) throws(ClientError) {
    try client.access(self) { region, _ throws(ClientError) in
      try region.postWord(word, at: offset, byteCount: byteCount)
    }
  }

  /// Fills `bytes` from the region; throws as `readWord(at:byteCount:)`.
  public func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan
  ) throws(ClientError) {
    let byteCount = bytes.byteCount
    // The span cannot be lent to a closure that may run twice.
    var copy = [UInt8](repeating: 0, count: byteCount)
    try client.access(self, reading: (offset, byteCount)) { region, limit throws(ClientError) in
      try copy.withMutableRawSpan { span throws(ClientError) in
        try region.read(at: offset, into: &span, timeout: limit)
      }
    }
    do { try bytes.store(bytes: copy.rawSpan, at: 0) } catch { throw ClientError(error) }
  }

  /// Reads `byteCount` bytes; throws as `readWord(at:byteCount:)`.
  public func read(at offset: RegionOffset, byteCount count: Int) throws(ClientError) -> [UInt8] {
    guard count >= 0, UInt64(count) <= byteCount else {
      throw ClientError(
        .invalidArgument, .invalidArgument, "the access is not inside the region")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withMutableRawSpan { span throws(ClientError) in
      try read(at: offset, into: &span)
    }
    return bytes
  }

  /// Writes bytes and waits until the device has them; throws as `writeWord(_:at:byteCount:)`.
  public func write(at offset: RegionOffset, from bytes: RawSpan) throws(ClientError) {
    let copy = [UInt8](copying: bytes)
    try client.access(self) { region, limit throws(ClientError) in
      try region.write(at: offset, from: copy.rawSpan, isPosted: false, timeout: limit)
    }
  }
}
