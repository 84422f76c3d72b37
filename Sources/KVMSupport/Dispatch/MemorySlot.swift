import VFIOUser

/// Memory that the guest reaches without an exit.
///
/// Source: `KVM_SET_USER_MEMORY_REGION`.
public struct MemorySlot: Sendable {
  /// Where the guest sees it; a multiple of the page size.
  public var address: GuestAddress
  /// What it sees.
  public var memory: SharedMemory
  /// Where that begins in `memory`, in bytes; a multiple of the page size.
  public var memoryOffset: UInt64
  /// The length in bytes; a multiple of the page size.
  public var byteCount: UInt64
  /// Whether writes of the guest exit instead of changing the memory.
  public var isReadOnly: Bool

  /// Makes a slot; nothing is checked.
  public init(
    address: GuestAddress, memory: SharedMemory, memoryOffset: UInt64 = 0, byteCount: UInt64,
    isReadOnly: Bool = false
  ) {
    self.address = address
    self.memory = memory
    self.memoryOffset = memoryOffset
    self.byteCount = byteCount
    self.isReadOnly = isReadOnly
  }
}
