/// The interrupts that a function can signal; which of them are used is the driver's choice.
///
/// A device raises interrupts by vector and never learns where they go. See ``PCIFunction``.
public struct PCIInterrupts: Hashable, Sendable {
  /// The interrupt pin of the function, or `nil` when it has none.
  public var pin: InterruptPin?
  /// Message-signalled interrupts (MSI), or `nil` when the function has none.
  public var msi: MSI?
  /// Extended message-signalled interrupts (MSI-X), or `nil` when the function has none.
  public var msix: MSIX?

  /// A set of interrupts; each kind left out is absent from the hardware.
  public init(pin: InterruptPin? = nil, msi: MSI? = nil, msix: MSIX? = nil) {
    self.pin = pin
    self.msi = msi
    self.msix = msix
  }

  /// No interrupts at all.
  public static let none = PCIInterrupts()

  /// One of the four interrupt pins, as the Interrupt Pin register numbers them.
  public enum InterruptPin: UInt8, Hashable, Sendable, CaseIterable {
    /// INTA#, the one that a single-function device uses.
    case a = 1
    /// INTB#.
    case b
    /// INTC#.
    case c
    /// INTD#.
    case d
  }

  /// Message-signalled interrupts.
  ///
  /// Source: PCI Local Bus Specification 3.0, section 6.8.1.
  public struct MSI: Hashable, Sendable {
    /// How many vectors the function asks for: 1, 2, 4, 8, 16 or 32.
    public var vectorCount: Int
    /// Whether messages can be written above 4 GiB.
    public var is64Bit: Bool
    /// Whether each vector has a mask bit and a pending bit.
    public var hasVectorMasking: Bool
    /// The capability's offset in configuration space; `nil` lets the package choose.
    public var offset: Int?

    /// MSI with `vectorCount` vectors (a power of two from 1 to 32).
    public init(
      vectorCount: Int = 1, is64Bit: Bool = true, hasVectorMasking: Bool = false,
      at offset: Int? = nil
    ) {
      self.vectorCount = vectorCount
      self.is64Bit = is64Bit
      self.hasVectorMasking = hasVectorMasking
      self.offset = offset
    }
  }

  /// Extended message-signalled interrupts: a table of vectors in a memory BAR.
  ///
  /// Source: PCI Local Bus Specification 3.0, section 6.8.2.
  public struct MSIX: Hashable, Sendable {
    /// How many vectors the table holds: 1 to 2048.
    public var vectorCount: Int
    /// Where the table lies; 16 bytes for each vector.
    public var table: Place
    /// Where the pending bit array lies; 8 bytes for each 64 vectors.
    public var pendingBits: Place
    /// The capability's offset in configuration space; `nil` lets the package choose.
    public var offset: Int?

    /// MSI-X with its table and its pending bit array at the given places.
    public init(vectorCount: Int, table: Place, pendingBits: Place, at offset: Int? = nil) {
      self.vectorCount = vectorCount
      self.table = table
      self.pendingBits = pendingBits
      self.offset = offset
    }

    /// The size of the table in bytes.
    public var tableByteCount: Int { vectorCount * 16 }
    /// The size of the pending bit array in bytes: whole 64-bit words.
    public var pendingBitsByteCount: Int { (vectorCount + 63) / 64 * 8 }

    /// A place within a BAR.
    public struct Place: Hashable, Sendable {
      /// The BAR's index, 0 to 5.
      public var bar: Int
      /// Bytes from the start of the BAR; a multiple of 8.
      public var offset: UInt64

      /// The place `offset` bytes into the BAR with index `bar`.
      public init(bar: Int, offset: UInt64) {
        self.bar = bar
        self.offset = offset
      }

      /// The place `offset` bytes into the BAR with index `bar`.
      public static func bar(_ bar: Int, at offset: UInt64) -> Place {
        Place(bar: bar, offset: offset)
      }
    }
  }
}
