/// What a device may do with a range of client memory.
///
/// Source: vfio-user specification, `VFIO_USER_DMA_MAP`, field "flags".
public struct DMARights: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public let rawValue: UInt32

  /// Makes rights from the bits on the wire.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The device may read the range.
  public static let read = DMARights(rawValue: 1 << 0)
  /// The device may write the range.
  public static let write = DMARights(rawValue: 1 << 1)
}
