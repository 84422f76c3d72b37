/// An entry of the Error Information log, LID 01h.
///
/// Source: NVMe 1.4, figure 193.
public struct ErrorInformationLogEntry: NVMeStructure {
  /// The structure's size in bytes.
  public static let byteCount = 64
  /// The bytes.
  public var bytes = [UInt8](repeating: 0, count: byteCount)

  /// A structure of zeros.
  public init() {}

  /// Error Count: numbers errors over the life of the controller; 0 marks an unused entry.
  public var errorCount: UInt64 {
    get { load(0) }
    set { store(newValue, 0) }
  }

  /// Submission Queue ID.
  public var submissionQueue: UInt16 {
    get { load(8) }
    set { store(newValue, 8) }
  }

  /// Command ID.
  public var commandIdentifier: UInt16 {
    get { load(10) }
    set { store(newValue, 10) }
  }

  /// Status Field, with the phase tag in bit 0.
  public var statusField: UInt16 {
    get { load(12) }
    set { store(newValue, 12) }
  }

  /// Parameter Error Location: byte in bits 7:0, bit in 10:8.
  public var parameterLocation: UInt16 {
    get { load(14) }
    set { store(newValue, 14) }
  }

  /// LBA: the first one that the error concerns.
  public var block: UInt64 {
    get { load(16) }
    set { store(newValue, 16) }
  }

  /// Namespace.
  public var namespace: UInt32 {
    get { load(24) }
    set { store(newValue, 24) }
  }
}
