/// A span of the client's DMA address space.
public struct DMARange: Hashable, Sendable, CustomStringConvertible {
  /// The first byte.
  public let address: DMAAddress
  /// How many bytes; the range may end exactly at the end of the address space.
  public let byteCount: UInt64

  /// Makes a range, or nil when it is empty or wraps around.
  public init?(address: DMAAddress, byteCount: UInt64) {
    guard byteCount > 0 else { return nil }
    guard !address.rawValue.addingReportingOverflow(byteCount - 1).overflow else { return nil }
    self.address = address
    self.byteCount = byteCount
  }

  /// The last byte of the range.
  public var lastAddress: DMAAddress { DMAAddress(address.rawValue + (byteCount - 1)) }

  /// Whether the two ranges share a byte.
  public func overlaps(_ other: DMARange) -> Bool {
    address <= other.lastAddress && other.address <= lastAddress
  }

  /// Whether every byte of `other` lies in this range.
  public func contains(_ other: DMARange) -> Bool {
    address <= other.address && other.lastAddress <= lastAddress
  }

  /// The address and the length in bytes, in hexadecimal.
  public var description: String { "\(address)+0x\(String(byteCount, radix: 16))" }
}
