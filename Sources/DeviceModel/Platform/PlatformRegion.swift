import VFIOUser

/// One register range of a platform device.
public struct PlatformRegion {
  /// What the range is for: "registers".
  public let name: String
  /// The size in bytes, at least 1.
  public let byteCount: UInt64
  /// What answers its accesses.
  public let handler: any RegionHandler
  /// How parts of it wish to be reached; messages for the rest.
  public var paths: [RegionPath] = []

  /// Describes a range that `handler` answers.
  public init(_ name: String, byteCount: UInt64, handler: any RegionHandler) {
    self.name = name
    self.byteCount = byteCount
    self.handler = handler
  }

  /// Describes a range that is a register block, and as long as it.
  public init(_ name: String, _ block: AnyRegisterBlock) {
    self.init(name, byteCount: UInt64(block.byteCount), handler: block)
  }
}
