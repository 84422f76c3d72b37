import VFIOUser

/// A part of a region, and how it is reached.
public struct RegionPart: Sendable {
  /// Where it begins in the region.
  public var offset: RegionOffset
  /// Its length in bytes, at least 1.
  public var byteCount: UInt64
  /// How it is reached.
  public var path: RegionPartPath

  /// The port of an ioregionfd or mailbox, and what its commands carry.
  var port: (any IORegionPort)?
  var userData: UInt64 = 0
  /// The memory of a mapped part; the part begins at byte 0 of it.
  var memory: SharedMemory?

  init(
    offset: RegionOffset, byteCount: UInt64, path: RegionPartPath,
    port: (any IORegionPort)? = nil, userData: UInt64 = 0, memory: SharedMemory? = nil
  ) {
    self.offset = offset
    self.byteCount = byteCount
    self.path = path
    self.port = port
    self.userData = userData
    self.memory = memory
  }
}
