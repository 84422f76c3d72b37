/// Which pages a device logs when it writes them.
///
/// Source: vfio-user specification, `VFIO_DEVICE_FEATURE_DMA_LOGGING_START`.
public struct DMALoggingControl: Hashable, Sendable {
  /// A range of DMA addresses.
  public struct Range: Hashable, Sendable {
    /// Where it starts.
    public var address: DMAAddress
    /// Its length in bytes.
    public var byteCount: UInt64

    /// Makes a range; nothing is checked.
    public init(address: DMAAddress, byteCount: UInt64) {
      self.address = address
      self.byteCount = byteCount
    }
  }

  /// The length in bytes of the part before the ranges.
  public static let fixedByteCount = 16

  /// The length in bytes that one bit of the log stands for; a hint.
  public var pageByteCount: UInt64
  /// The ranges to log; none means everything.
  public var ranges: [Range]

  /// Makes a control; nothing is checked.
  public init(pageByteCount: UInt64, ranges: [Range] = []) {
    self.pageByteCount = pageByteCount
    self.ranges = ranges
  }

  /// Decodes the data; throws when length and count contradict each other, the page length is no
  /// power of two, or a range leaves the 64-bit space.
  public init(decoding data: RawSpan) throws(WireError) {
    pageByteCount = try data.load(at: 0)
    let count = Int(try data.load(at: 8, as: UInt32.self))
    let available = data.byteCount - Self.fixedByteCount
    guard available >= 0, available % 16 == 0, available / 16 == count else {
      throw WireError(.badCount, "num_ranges is not the number of ranges in the message")
    }
    guard pageByteCount.nonzeroBitCount == 1 else {
      throw WireError(.badCount, "the page size is no power of two")
    }
    ranges = []
    ranges.reserveCapacity(count)
    for index in 0..<count {
      let position = Self.fixedByteCount + 16 * index
      let range = Range(
        address: DMAAddress(try data.load(at: position)), byteCount: try data.load(at: position + 8)
      )
      try checkRange(range.address.rawValue, range.byteCount, "a range leaves the address space")
      ranges.append(range)
    }
  }

  /// The data of a request or reply.
  public func encodedData() -> [UInt8] {
    var data = [UInt8](repeating: 0, count: Self.fixedByteCount + 16 * ranges.count)
    data.withMutableRawSpan { bytes in
      try? bytes.store(pageByteCount, at: 0)
      try? bytes.store(UInt32(truncatingIfNeeded: ranges.count), at: 8)
      for (index, range) in ranges.enumerated() {
        try? bytes.store(range.address.rawValue, at: Self.fixedByteCount + 16 * index)
        try? bytes.store(range.byteCount, at: Self.fixedByteCount + 16 * index + 8)
      }
    }
    return data
  }
}
