/// What a controller says of a namespace: Identify, CNS 00h.
///
/// Source: NVMe 1.4, figure 245; copy limits: NVM Command Set 1.0, figure 97.
public struct IdentifyNamespace: NVMeStructure {
  /// The structure's size in bytes.
  public static let byteCount = 4096
  /// The bytes.
  public var bytes = [UInt8](repeating: 0, count: byteCount)

  /// A structure of zeros.
  public init() {}

  /// Namespace Size (NSZE), in blocks.
  public var blockCount: UInt64 {
    get { load(0) }
    set { store(newValue, 0) }
  }

  /// Namespace Capacity (NCAP), in blocks.
  public var capacity: UInt64 {
    get { load(8) }
    set { store(newValue, 8) }
  }

  /// Namespace Utilization (NUSE), in blocks.
  public var utilization: UInt64 {
    get { load(16) }
    set { store(newValue, 16) }
  }

  /// Namespace Features (NSFEAT): bit 0 thin provisioning, bit 2 deallocated block error, bit 4 optimal I/O fields.
  public var features: UInt8 {
    get { load(24) }
    set { store(newValue, 24) }
  }

  /// Number of LBA Formats (NLBAF), minus one.
  public var formatCount: UInt8 {
    get { load(25) }
    set { store(newValue, 25) }
  }

  /// Formatted LBA Size (FLBAS): the format in use in bits 3:0.
  public var formattedSize: UInt8 {
    get { load(26) }
    set { store(newValue, 26) }
  }

  /// Metadata Capabilities (MC).
  public var metadataCapabilities: UInt8 {
    get { load(27) }
    set { store(newValue, 27) }
  }

  /// End-to-end Data Protection Capabilities (DPC).
  public var protectionCapabilities: UInt8 {
    get { load(28) }
    set { store(newValue, 28) }
  }

  /// Deallocate Logical Block Features (DLFEAT): bits 2:0 1 for zeros after deallocation, bit 3 Deallocate in Write Zeroes.
  public var deallocateFeatures: UInt8 {
    get { load(33) }
    set { store(newValue, 33) }
  }

  /// Namespace Preferred Write Granularity (NPWG), in blocks minus one.
  public var preferredWriteGranularity: UInt16 {
    get { load(64) }
    set { store(newValue, 64) }
  }

  /// Namespace Preferred Write Alignment (NPWA), in blocks minus one.
  public var preferredWriteAlignment: UInt16 {
    get { load(66) }
    set { store(newValue, 66) }
  }

  /// Namespace Preferred Deallocate Granularity (NPDG), in blocks minus one.
  public var preferredDeallocateGranularity: UInt16 {
    get { load(68) }
    set { store(newValue, 68) }
  }

  /// Namespace Preferred Deallocate Alignment (NPDA), in blocks minus one.
  public var preferredDeallocateAlignment: UInt16 {
    get { load(70) }
    set { store(newValue, 70) }
  }

  /// Namespace Optimal Write Size (NOWS), in blocks minus one.
  public var optimalWriteByteCount: UInt16 {
    get { load(72) }
    set { store(newValue, 72) }
  }

  /// Maximum Single Source Range Length (MSSRL) of Copy, in blocks.
  public var maximumSourceRangeLength: UInt16 {
    get { load(74) }
    set { store(newValue, 74) }
  }

  /// Maximum Copy Length (MCL), in blocks.
  public var maximumCopyLength: UInt32 {
    get { load(76) }
    set { store(newValue, 76) }
  }

  /// Maximum Source Range Count (MSRC) of Copy, minus one.
  public var maximumSourceRangeCount: UInt8 {
    get { load(80) }
    set { store(newValue, 80) }
  }

  /// Namespace Attributes (NSATTR): bit 0 write protected.
  public var attributes: UInt8 {
    get { load(99) }
    set { store(newValue, 99) }
  }

  /// IEEE Extended Unique Identifier (EUI64), its first byte the most significant.
  public var extendedUniqueIdentifier: UInt64 {
    get { bytes[120..<128].reduce(0) { $0 << 8 | UInt64($1) } }
    set {
      for index in 0..<8 {
        bytes[120 + index] = UInt8(truncatingIfNeeded: newValue >> (56 - index * 8))
      }
    }
  }

  /// LBA Data Size (LBADS) of a format, 0 to 15, as a power of two; 0 for a format that does not exist.
  public func blockShift(ofFormat format: Int) -> UInt8 { bytes[128 + (format & 0xf) * 4 + 2] }

  /// Declares a format with blocks of two to the `shift` bytes, no metadata, and a relative performance.
  public mutating func setFormat(_ format: Int, blockShift: UInt8, performance: UInt8) {
    bytes[128 + (format & 0xf) * 4 + 2] = blockShift
    bytes[128 + (format & 0xf) * 4 + 3] = performance & 3
  }

  /// A block's size in bytes in the format in use; 0 when that format does not exist.
  public var blockByteCount: Int {
    let shift = blockShift(ofFormat: Int(formattedSize & 0xf))
    return shift == 0 || shift > 31 ? 0 : 1 << Int(shift)
  }
}
