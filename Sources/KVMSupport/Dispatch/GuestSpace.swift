/// What a guest's address is an address of.
public enum GuestSpace: Hashable, Sendable, CaseIterable {
  /// Physical memory, and the registers in it (MMIO).
  case memory
  /// I/O ports (PIO): 64 KiB of them.
  case port

  /// The highest address there is.
  public var last: GuestAddress {
    switch self {
    case .memory: GuestAddress(.max)
    case .port: GuestAddress(0xffff)
    }
  }
}
