/// What a device may do with a range of client memory.
///
/// Source: vfio-user specification, `VFIO_USER_DMA_MAP`, field "flags".
public struct DMARights: OptionSet, Hashable, Sendable {
  /// The bits as they are on the wire.
  public let rawValue: UInt32

  /// Makes rights from the bits on the wire.
  @inlinable
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// The device may read the range.
  @inlinable public static var read: DMARights { DMARights(rawValue: 1 << 0) }
  /// The device may write the range.
  @inlinable public static var write: DMARights { DMARights(rawValue: 1 << 1) }
}
