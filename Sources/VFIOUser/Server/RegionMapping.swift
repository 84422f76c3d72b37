/// Shared memory behind a region, and the parts of it that a client may map.
public struct RegionMapping: Sendable {
  /// The memory; byte `offset` of the region lies at byte `memoryOffset + offset` of its file.
  public var memory: SharedMemory
  /// Where the region starts in the memory's file, in bytes; a multiple of the page size.
  public var memoryOffset: UInt64
  /// The mappable parts, as offsets into the region; empty means the whole region.
  public var areas: [RegionArea]

  /// Describes mappable memory.
  public init(memory: SharedMemory, memoryOffset: UInt64 = 0, areas: [RegionArea] = []) {
    self.memory = memory
    self.memoryOffset = memoryOffset
    self.areas = areas
  }
}
