/// Asks for the descriptors through which parts of a region can be reached.
///
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
public struct RegionIODescriptorsRequest: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetRegionIODescriptors

  /// The largest reply payload that the client takes, in bytes; 16 or more when decoded.
  public var argumentSize: UInt32
  /// Which region; any number comes off the wire.
  public var index: UInt32

  /// Makes a request for a region that takes a reply payload of `argumentSize` bytes.
  public init(index: UInt32, argumentSize: UInt32 = UInt32(RegionIODescriptors.fixedByteCount)) {
    self.argumentSize = argumentSize
    self.index = index
  }

  /// Decodes a request; throws when it or its `argsz` is below 16 bytes, or when a field that must
  /// be zero is not.
  public init(decoding payload: RawSpan) throws(WireError) {
    argumentSize = try decodeQuery(payload, fixedByteCount: RegionIODescriptors.fixedByteCount)
    let flags: UInt32 = try payload.load(at: 4)
    index = try payload.load(at: 8)
    let count: UInt32 = try payload.load(at: 12)
    guard flags == 0 else { throw WireError(.badFlags, "GET_REGION_IO_FDS takes no flags") }
    guard count == 0 else { throw WireError(.badCount, "GET_REGION_IO_FDS asks with count 0") }
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { RegionIODescriptors.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.zero(at: offset, byteCount: encodedByteCount)
    try bytes.store(argumentSize, at: offset)
    try bytes.store(index, at: offset + 8)
  }
}

/// The descriptors through which parts of a region can be reached, as the server replies.
///
/// The specification computes an entry's length as (argsz - 32) / count although the fixed part has
/// 16 bytes; every implementation means (argsz - 16) / count, and so does this one.
/// Source: vfio-user specification, `VFIO_USER_DEVICE_GET_REGION_IO_FDS`.
public struct RegionIODescriptors: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.deviceGetRegionIODescriptors
  /// The length of the structure in bytes, entries excluded.
  public static let fixedByteCount = 16

  /// Which region.
  public var index: UInt32
  /// One entry a sub-region. Empty after decoding an incomplete reply.
  public var entries: [RegionIODescriptor]
  /// The length of the complete reply payload in bytes, as a decoded reply states it.
  public private(set) var neededByteCount: Int
  /// Whether the decoded reply left its entries out, because the request's `argsz` was below
  /// `neededByteCount`.
  public private(set) var isIncomplete = false

  /// Makes a reply.
  public init(index: UInt32, entries: [RegionIODescriptor]) {
    self.index = index
    self.entries = entries
    neededByteCount = 0
    neededByteCount = encodedByteCount
  }

  /// Decodes a reply whose entries have any length from 40 bytes up.
  ///
  /// Throws when it is shorter than its structure, a flag is set, or count and `argsz` contradict
  /// each other or the payload. Whether `descriptorIndex` names a received descriptor, and whether
  /// a sub-region lies inside its region, is for the receiver to check.
  public init(decoding payload: RawSpan) throws(WireError) {
    let argumentSize = try decodeQuery(payload, fixedByteCount: Self.fixedByteCount)
    let flags: UInt32 = try payload.load(at: 4)
    index = try payload.load(at: 8)
    let count = Int(try payload.load(at: 12, as: UInt32.self))
    entries = []
    neededByteCount = Int(argumentSize)
    guard flags == 0 else { throw WireError(.badFlags, "GET_REGION_IO_FDS has no flags") }
    guard Int(argumentSize) <= payload.byteCount else {
      isIncomplete = true
      return
    }
    guard count > 0 else { return }
    let entriesByteCount = Int(argumentSize) - Self.fixedByteCount
    let stride = entriesByteCount / count
    guard stride >= RegionIODescriptor.byteCount, stride * count == entriesByteCount else {
      throw WireError(.badCount, "count and argsz of GET_REGION_IO_FDS contradict each other")
    }
    entries.reserveCapacity(count)
    for index in 0..<count {
      entries.append(
        try RegionIODescriptor(
          decoding: payload, at: Self.fixedByteCount + index * stride, stride: stride))
    }
  }

  /// The length of an entry in bytes: the specification's, or libvfio-user's where shadow memory
  /// has to be described.
  var stride: Int {
    entries.contains { $0.kind == .shadowIOEventfd }
      ? RegionIODescriptor.shadowByteCount : RegionIODescriptor.byteCount
  }

  /// The length of the complete payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount + stride * entries.count }

  /// The length in bytes of the payload for a client that takes `argumentSize` bytes: everything,
  /// or only the structure, and then without descriptors.
  public func encodedByteCount(limit argumentSize: UInt32) -> Int {
    let full = encodedByteCount
    return full <= Int(argumentSize) ? full : Self.fixedByteCount
  }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try encode(into: &bytes, at: offset, limit: .max)
  }

  /// Writes the payload for a client that takes `argumentSize` bytes: everything, or only the
  /// structure.
  ///
  /// - Throws: `truncated` when ``encodedByteCount(limit:)`` bytes do not fit.
  public func encode(
    into bytes: inout MutableRawSpan, at offset: Int, limit argumentSize: UInt32
  ) throws(WireError) {
    let full = encodedByteCount
    try bytes.store(UInt32(truncatingIfNeeded: full), at: offset)
    try bytes.store(UInt32(0), at: offset + 4)
    try bytes.store(index, at: offset + 8)
    try bytes.store(UInt32(truncatingIfNeeded: entries.count), at: offset + 12)
    guard full <= Int(argumentSize) else { return }
    let stride = stride
    for (index, entry) in entries.enumerated() {
      try entry.encode(
        into: &bytes, at: offset + Self.fixedByteCount + index * stride, stride: stride)
    }
  }
}
