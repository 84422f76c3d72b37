import VFIOUser

/// A write to a region that signals an eventfd instead of reaching the device as an access.
public struct RegionEvent: Sendable {
  /// Where the write begins in the region.
  public var offset: RegionOffset
  /// How many bytes it has: 1, 2, 4 or 8; 0 for any number.
  public var byteCount: Int
  /// The value that it has, or nil for any.
  public var matching: UInt64?
  /// What is signalled.
  let signal: EventDescriptorBox

  /// The event of a window that is placed at `address`.
  func event(in space: GuestSpace, at address: UInt64) -> IOEvent {
    IOEvent(
      space: space, address: GuestAddress(address + offset.rawValue), byteCount: byteCount,
      matching: matching, descriptor: signal.rawValue)
  }
}
