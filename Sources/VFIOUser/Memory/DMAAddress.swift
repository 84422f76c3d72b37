/// An address in the client's DMA space (an I/O virtual address, IOVA), in bytes.
///
/// Any 64-bit value is representable; only addresses that the client has mapped are usable.
/// Source: vfio-user specification, `VFIO_USER_DMA_MAP`.
public struct DMAAddress: Hashable, Comparable, Sendable {
  /// The address in bytes.
  public let rawValue: UInt64

  /// Makes an address from its value in bytes.
  @inline(__always)
  public init(_ rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// Orders addresses by their value.
  @inline(__always)
  public static func < (left: DMAAddress, right: DMAAddress) -> Bool {
    left.rawValue < right.rawValue
  }

  /// The address `byteCount` bytes further, or nil when that leaves the 64-bit space.
  @inline(__always)
  public func advanced(byByteCount byteCount: UInt64) -> DMAAddress? {
    let (sum, overflow) = rawValue.addingReportingOverflow(byteCount)
    return overflow ? nil : DMAAddress(sum)
  }
}

extension DMAAddress: CustomStringConvertible {
  /// The address in hexadecimal.
  public var description: String {
    "0x" + String(rawValue, radix: 16)
  }
}
