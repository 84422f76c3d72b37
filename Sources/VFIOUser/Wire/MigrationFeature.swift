/// The migration states that a device has beyond those that every migratable device has.
///
/// Source: vfio-user specification, `VFIO_DEVICE_FEATURE_MIGRATION`.
public struct MigrationFeature: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public let rawValue: UInt64

  /// Makes a set from the bits on the wire.
  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// The state can be copied while the device is stopped; always set.
  public static let stopCopy = MigrationFeature(rawValue: 1 << 0)
  /// The device can be stopped from starting DMA to peers; not used in vfio-user.
  public static let peerToPeer = MigrationFeature(rawValue: 1 << 1)
  /// The state can be copied while the device runs.
  public static let preCopy = MigrationFeature(rawValue: 1 << 2)

  /// Decodes the data of a reply; throws when it is not exactly 8 bytes.
  public init(decoding data: RawSpan) throws(WireError) {
    guard data.byteCount == 8 else { throw WireError(.badCount, "migration flags take 8 bytes") }
    rawValue = try data.load(at: 0)
  }

  /// The data of a reply.
  public func encodedData() -> [UInt8] {
    var data = [UInt8](repeating: 0, count: 8)
    data.withMutableRawSpan { bytes in try? bytes.store(rawValue, at: 0) }
    return data
  }
}
