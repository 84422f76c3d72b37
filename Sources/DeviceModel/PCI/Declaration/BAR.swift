/// A base address register: one window of a function, and what a driver finds in it.
///
/// Bytes of the window that no content claims read 0 and ignore writes.
///
/// Source: PCI Local Bus Specification 3.0, section 6.2.5.
public struct BAR: Sendable {
  /// Which of the six registers it is, 0 to 5. A 64-bit BAR takes the next one as well.
  public var index: Int
  /// The address space it lies in.
  public var kind: Kind
  /// The size of the window in bytes: a power of two, at least 16 (memory) or 4 (I/O).
  public var byteCount: UInt64
  /// What lies in the window, in any order; contents must not overlap.
  public var contents: [BARContent]
  /// One sentence for the manual; empty when the contents say enough.
  public var summary: String

  /// A window of `byteCount` bytes.
  public init(
    _ index: Int, _ kind: Kind, byteCount: UInt64, _ contents: [BARContent],
    summary: String = ""
  ) {
    self.index = index
    self.kind = kind
    self.byteCount = byteCount
    self.contents = contents
    self.summary = summary
  }

  /// The address spaces a window can lie in.
  public enum Kind: Hashable, Sendable, CaseIterable {
    /// Memory below 4 GiB.
    case memory32
    /// Memory anywhere.
    case memory64
    /// Memory below 4 GiB whose reads have no side effects.
    case prefetchableMemory32
    /// Memory anywhere whose reads have no side effects.
    case prefetchableMemory64
    /// I/O ports.
    case io

    /// Whether the window takes two registers.
    public var is64Bit: Bool { self == .memory64 || self == .prefetchableMemory64 }

    /// Whether it lies in memory space.
    public var isMemory: Bool { self != .io }

    /// The read-only low bits of the register, which tell a driver the kind.
    var typeBits: UInt32 {
      switch self {
      case .memory32: 0x0
      case .memory64: 0x4
      case .prefetchableMemory32: 0x8
      case .prefetchableMemory64: 0xc
      case .io: 0x1
      }
    }

    /// How the manual names it.
    public var name: String {
      switch self {
      case .memory32: "memory, 32-bit"
      case .memory64: "memory, 64-bit"
      case .prefetchableMemory32: "memory, 32-bit, prefetchable"
      case .prefetchableMemory64: "memory, 64-bit, prefetchable"
      case .io: "I/O ports"
      }
    }
  }

  /// The bits of the register that a driver can write, over both halves.
  var addressMask: UInt64 {
    let mask = ~(byteCount &- 1)
    return kind.isMemory ? mask & ~0xf : mask & ~0x3
  }
}
