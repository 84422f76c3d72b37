/// How a device wishes a part of one of its regions to be reached.
///
/// A wish, not a duty of the client's: whatever a client cannot do it does by messages, and the same
/// handler answers. Parts without a path are reached by messages. Mappable memory is declared by
/// ``RegionMapping``.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
public struct RegionPath: Hashable, Sendable {
  /// The ways there are.
  public enum Kind: Hashable, Sendable {
    /// A message for each access; the vCPU waits for each reply (*trapped*).
    case message
    /// A message for each access; the vCPU does not wait for writes (*posted*).
    case postedMessage
    /// Writes signal an eventfd, and are told apart by nothing but their place and size.
    ///
    /// `matching` restricts it to writes of one value (datamatch); without it the value is lost.
    case ioeventfd(matching: UInt64?)
    /// Accesses are commands on a descriptor of their own; see ``IORegionCommand``.
    ///
    /// `postsWrites` says that the vCPU does not wait for writes.
    case ioregionfd(postsWrites: Bool)
  }

  /// Where the part starts in the region.
  public var offset: RegionOffset
  /// The length of the part in bytes. For an ioeventfd the size of the access: 1, 2, 4 or 8, or 0 when
  /// the size does not matter.
  public var byteCount: UInt64
  /// The wish.
  public var kind: Kind
  /// Paths of a region with the same number share one descriptor, and so one access in flight; for
  /// ioregionfds. Paths whose ranges run on different loops get a descriptor for each loop.
  public var descriptorGroup: Int

  /// Makes a path.
  public init(
    offset: RegionOffset, byteCount: UInt64, kind: Kind, descriptorGroup: Int = 0
  ) {
    self.offset = offset
    self.byteCount = byteCount
    self.kind = kind
    self.descriptorGroup = descriptorGroup
  }
}
