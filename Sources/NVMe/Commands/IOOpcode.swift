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
  @inlinable public static var flush: IOOpcode { IOOpcode(rawValue: 0x00) }
  /// Write.
  @inlinable public static var write: IOOpcode { IOOpcode(rawValue: 0x01) }
  /// Read.
  @inlinable public static var read: IOOpcode { IOOpcode(rawValue: 0x02) }
  /// Write Uncorrectable.
  @inlinable public static var writeUncorrectable: IOOpcode { IOOpcode(rawValue: 0x04) }
  /// Compare.
  @inlinable public static var compare: IOOpcode { IOOpcode(rawValue: 0x05) }
  /// Write Zeroes.
  @inlinable public static var writeZeroes: IOOpcode { IOOpcode(rawValue: 0x08) }
  /// Dataset Management.
  @inlinable public static var datasetManagement: IOOpcode { IOOpcode(rawValue: 0x09) }
  /// Verify.
  @inlinable public static var verify: IOOpcode { IOOpcode(rawValue: 0x0c) }
  /// Copy.
  @inlinable public static var copy: IOOpcode { IOOpcode(rawValue: 0x19) }
}
