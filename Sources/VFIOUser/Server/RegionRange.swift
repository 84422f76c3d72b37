/// A range of a region and what answers it.
public struct RegionRange {
  /// The first byte, from the start of the region.
  public let offset: RegionOffset
  /// The size in bytes, at least 1.
  public let byteCount: UInt64
  /// What answers the range's accesses.
  public let handler: any RegionHandler
  /// The loop that runs the handler; nil for the device's own loop.
  public let loop: EventLoop?
  /// Whether later commands may start, and replies overtake, while an access to this range waits.
  public let isConcurrent: Bool

  /// Claims `byteCount` bytes at `offset` for `handler`.
  public init(
    offset: RegionOffset, byteCount: UInt64, handler: any RegionHandler,
    loop: EventLoop? = nil, isConcurrent: Bool = false
  ) {
    self.offset = offset
    self.byteCount = byteCount
    self.handler = handler
    self.loop = loop
    self.isConcurrent = isConcurrent
  }

  @inline(__always)
  func contains(_ place: UInt64) -> Bool {
    place >= offset.rawValue && place - offset.rawValue < byteCount
  }
}
