/// A position in a device region, in bytes from the region's start.
///
/// A handler of a part of a region receives offsets relative to its part.
/// Source: vfio-user specification, `VFIO_USER_REGION_READ`.
public struct RegionOffset: Hashable, Comparable, Sendable {
  /// The offset in bytes.
  public let rawValue: UInt64

  /// Makes an offset from its value in bytes.
  @inline(__always)
  public init(_ rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// Orders offsets by their value.
  @inline(__always)
  public static func < (left: RegionOffset, right: RegionOffset) -> Bool {
    left.rawValue < right.rawValue
  }

  /// The offset `byteCount` bytes further, or nil when that leaves the 64-bit space.
  @inline(__always)
  public func advanced(byByteCount byteCount: UInt64) -> RegionOffset? {
    let (sum, overflow) = rawValue.addingReportingOverflow(byteCount)
    return overflow ? nil : RegionOffset(sum)
  }
}

extension RegionOffset: CustomStringConvertible {
  /// The offset in hexadecimal.
  public var description: String {
    "0x" + String(rawValue, radix: 16)
  }
}
