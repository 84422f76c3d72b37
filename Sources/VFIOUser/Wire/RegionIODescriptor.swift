/// How one part of a region can be reached through a descriptor instead of messages.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_IO_FDS`, "Sub-Region IO FD info".
public struct RegionIODescriptor: Hashable, Sendable {
  /// What the descriptor is.
  public struct Kind: RawRepresentable, Hashable, Sendable {
    /// The number on the wire.
    public let rawValue: UInt32

    /// Makes a kind from its number on the wire.
    public init(rawValue: UInt32) {
      self.rawValue = rawValue
    }

    /// An eventfd that is signalled by a write; the value written is lost.
    public static let ioeventfd = Kind(rawValue: 0)
    /// A socket that carries each access as a command and a response.
    public static let ioregionfd = Kind(rawValue: 1)
    /// libvfio-user's: an eventfd, and memory that receives the value written.
    public static let shadowIOEventfd = Kind(rawValue: 2)
    /// The first number of extensions; they are sent only when negotiated.
    public static let firstExtension = Kind(rawValue: 0x8000_0000)
    /// Extension `mailbox`: shared memory that carries what an ioregionfd carries. `descriptorIndex` is
    /// the memory, the next one the eventfd that announces commands, the one after it the eventfd that
    /// announces responses. `flags` and `value` are those of an ioregionfd.
    public static let mailbox = Kind(rawValue: 0x8000_0000)
    /// Extension `posted`: messages whose writes nobody waits for. It has no descriptor, and
    /// `descriptorIndex` is `noDescriptor`.
    public static let postedMessage = Kind(rawValue: 0x8000_0001)

    /// The `descriptorIndex` of an entry without a descriptor.
    public static let noDescriptor: UInt32 = .max
  }

  /// The bits of `flags`. Each kind has its own.
  ///
  /// Source: KVM API, KVM_IOEVENTFD; the ioregionfd design, KVM_SET_IOREGION.
  public enum Flags {
    /// ioeventfd: only writes of `value` signal it.
    public static let eventMatches: UInt32 = 1 << 0
    /// ioeventfd: the writes are port I/O.
    public static let eventIsPortIO: UInt32 = 1 << 1
    /// ioregionfd and mailbox: the accesses are port I/O.
    public static let regionIsPortIO: UInt32 = 1 << 0
    /// ioregionfd and mailbox: nobody waits for the response to a write.
    public static let regionPostsWrites: UInt32 = 1 << 1
  }

  /// Where the part starts in the region.
  public var offset: RegionOffset
  /// The length of the part in bytes; zero when the access size does not matter.
  public var byteCount: UInt64
  /// Which of the descriptors that accompany the reply; several parts may share one.
  public var descriptorIndex: UInt32
  /// What the descriptor is.
  public var kind: Kind
  /// The kind's own flags: `KVM_IOEVENTFD_FLAG_*` or `KVM_IOREGION_*`.
  public var flags: UInt32
  /// The value to match (ioeventfd) or the opaque value to echo (ioregionfd).
  public var value: UInt64
  /// Only for `shadowIOEventfd`: which descriptor is the memory.
  public var shadowDescriptorIndex: UInt32
  /// Only for `shadowIOEventfd`: where the value goes in that memory, in bytes.
  public var shadowOffset: UInt64

  /// Makes an entry; nothing is checked.
  public init(
    offset: RegionOffset, byteCount: UInt64, descriptorIndex: UInt32, kind: Kind,
    flags: UInt32 = 0, value: UInt64 = 0, shadowDescriptorIndex: UInt32 = 0,
    shadowOffset: UInt64 = 0
  ) {
    self.offset = offset
    self.byteCount = byteCount
    self.descriptorIndex = descriptorIndex
    self.kind = kind
    self.flags = flags
    self.value = value
    self.shadowDescriptorIndex = shadowDescriptorIndex
    self.shadowOffset = shadowOffset
  }

  /// The specification's entry, in bytes.
  static let byteCount = 40
  /// libvfio-user's entry, in bytes: 8 more, for the offset in the shadow memory.
  static let shadowByteCount = 48

  init(decoding payload: RawSpan, at position: Int, stride: Int) throws(WireError) {
    offset = RegionOffset(try payload.load(at: position))
    byteCount = try payload.load(at: position + 8)
    descriptorIndex = try payload.load(at: position + 16)
    kind = Kind(rawValue: try payload.load(at: position + 20))
    flags = try payload.load(at: position + 24)
    shadowDescriptorIndex = 0
    shadowOffset = 0
    let isWide = stride >= Self.shadowByteCount
    switch kind {
    case .ioeventfd where isWide:
      value = try payload.load(at: position + 40)
    case .shadowIOEventfd where isWide:
      shadowDescriptorIndex = try payload.load(at: position + 28)
      shadowOffset = try payload.load(at: position + 32)
      value = try payload.load(at: position + 40)
    case .shadowIOEventfd:
      throw WireError(.badCount, "an entry of 40 bytes cannot describe shadow memory")
    default:
      value = try payload.load(at: position + 32)
    }
    try checkRange(offset.rawValue, byteCount, "a sub-region leaves the address space")
  }

  func encode(
    into bytes: inout MutableRawSpan, at position: Int, stride: Int
  ) throws(WireError) {
    try bytes.zero(at: position, byteCount: stride)
    try bytes.store(offset.rawValue, at: position)
    try bytes.store(byteCount, at: position + 8)
    try bytes.store(descriptorIndex, at: position + 16)
    try bytes.store(kind.rawValue, at: position + 20)
    try bytes.store(flags, at: position + 24)
    let isWide = stride >= Self.shadowByteCount
    if kind == .shadowIOEventfd {
      try bytes.store(shadowDescriptorIndex, at: position + 28)
      try bytes.store(shadowOffset, at: position + 32)
    }
    let hasLateValue = isWide && (kind == .ioeventfd || kind == .shadowIOEventfd)
    try bytes.store(value, at: position + (hasLateValue ? 40 : 32))
  }
}
