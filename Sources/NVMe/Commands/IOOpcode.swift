/// What a command of the NVM command set asks for.
///
/// Source: NVMe 1.4, figure 346; Copy: NVM Command Set 1.0, figure 22.
@frozen
public struct IOOpcode: RawRepresentable, Hashable, Sendable {
  /// The opcode byte.
  public let rawValue: UInt8

  /// The opcode with this byte.
  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Flush.
  public static let flush = IOOpcode(rawValue: 0x00)
  /// Write.
  public static let write = IOOpcode(rawValue: 0x01)
  /// Read.
  public static let read = IOOpcode(rawValue: 0x02)
  /// Write Uncorrectable.
  public static let writeUncorrectable = IOOpcode(rawValue: 0x04)
  /// Compare.
  public static let compare = IOOpcode(rawValue: 0x05)
  /// Write Zeroes.
  public static let writeZeroes = IOOpcode(rawValue: 0x08)
  /// Dataset Management.
  public static let datasetManagement = IOOpcode(rawValue: 0x09)
  /// Verify.
  public static let verify = IOOpcode(rawValue: 0x0c)
  /// Copy.
  public static let copy = IOOpcode(rawValue: 0x19)
}
