/// What a client learns of one region.
public struct RegionLayout: Sendable {
  /// The size in bytes; 0 where the index has no region.
  public var byteCount: UInt64
  /// What the client may do with it: `.read`, `.write`.
  public var rights: RegionFlags
  /// The memory that the client may map instead of sending messages; nil for none.
  public var mapping: RegionMapping?
  /// The region's type, for regions beyond those that the bus names; nil for none.
  public var type: RegionType?
  /// How the device wishes parts of the region to be reached; parts without a path by messages.
  public var paths: [RegionPath]
  /// Whether drivers reach the region by port I/O instead of memory accesses.
  public var isPortIO: Bool

  /// Makes a layout.
  public init(
    byteCount: UInt64, rights: RegionFlags, mapping: RegionMapping? = nil, type: RegionType? = nil,
    paths: [RegionPath] = [], isPortIO: Bool = false
  ) {
    self.byteCount = byteCount
    self.rights = rights
    self.mapping = mapping
    self.type = type
    self.paths = paths
    self.isPortIO = isPortIO
  }

  /// The layout of an index that has no region.
  public static var absent: RegionLayout { RegionLayout(byteCount: 0, rights: []) }
}
