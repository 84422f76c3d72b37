/// Several small region writes in one message.
///
/// Source: vfio-user specification, `VFIO_USER_REGION_WRITE_MULTI`.
public struct RegionWriteMulti: WireMessage {
  /// One write of at most 8 bytes.
  public struct Entry: Hashable, Sendable {
    /// Where it goes in its region.
    public var offset: RegionOffset
    /// Which region.
    public var region: UInt32
    /// How many bytes, 0 to 8.
    public var count: UInt32
    /// The bytes in the order of their addresses, as a little-endian number; `count` of them count.
    public var data: UInt64

    /// Makes a write; nothing is checked.
    public init(offset: RegionOffset, region: UInt32, count: UInt32, data: UInt64) {
      self.offset = offset
      self.region = region
      self.count = count
      self.data = data
    }

    /// The length of an entry in bytes.
    public static let byteCount = 24
    /// The most data that an entry holds, in bytes.
    public static let maximumDataByteCount = 8
  }

  /// The command that carries this payload.
  public static let command = Command.regionWriteMulti
  /// The length of the part before the entries in bytes.
  public static let fixedByteCount = 8

  /// The writes, in the order in which they happen.
  public var entries: [Entry]

  /// Makes a message of these writes.
  public init(_ entries: [Entry]) {
    self.entries = entries
  }

  /// Decodes a message; throws when its length and its count contradict each other, there is no
  /// write, or one is longer than 8 bytes or leaves the 64-bit space.
  public init(decoding payload: RawSpan) throws(WireError) {
    let count = try Self.entryCount(in: payload)
    entries = []
    entries.reserveCapacity(count)
    for index in 0..<count { entries.append(try Self.entry(at: index, in: payload)) }
  }

  /// How many entries a payload holds; checks the count against the length, so that it bounds a
  /// loop over `entry(at:in:)`.
  ///
  /// - Throws: `truncated` for less than 8 bytes, `badCount` for no entries and where count and
  ///   length contradict each other.
  public static func entryCount(in payload: RawSpan) throws(WireError) -> Int {
    let count: UInt64 = try payload.load(at: 0)
    let available = payload.byteCount - fixedByteCount
    guard count > 0, count <= UInt64(available / Entry.byteCount),
      Int(count) * Entry.byteCount == available
    else { throw WireError(.badCount, "wr_cnt is not the number of writes in the message") }
    return Int(count)
  }

  /// Decodes one entry without allocating; throws when it is not there or longer than 8 bytes.
  public static func entry(at index: Int, in payload: RawSpan) throws(WireError) -> Entry {
    let position = fixedByteCount + index * Entry.byteCount
    let entry = Entry(
      offset: RegionOffset(try payload.load(at: position)),
      region: try payload.load(at: position + 8),
      count: try payload.load(at: position + 12),
      data: try payload.load(at: position + 16))
    guard entry.count <= UInt32(Entry.maximumDataByteCount) else {
      throw WireError(.badCount, "a write of REGION_WRITE_MULTI is longer than 8 bytes")
    }
    try checkRange(
      entry.offset.rawValue, UInt64(entry.count), "the access leaves the address space")
    return entry
  }

  /// Where the data of an entry starts in a payload, in bytes.
  public static func dataOffset(ofEntryAt index: Int) -> Int {
    fixedByteCount + index * Entry.byteCount + 16
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount + entries.count * Entry.byteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(UInt64(entries.count), at: offset)
    for (index, entry) in entries.enumerated() {
      let position = offset + Self.fixedByteCount + index * Entry.byteCount
      try bytes.store(entry.offset.rawValue, at: position)
      try bytes.store(entry.region, at: position + 8)
      try bytes.store(entry.count, at: position + 12)
      try bytes.store(entry.data, at: position + 16)
    }
  }
}

/// How many of the writes of a `RegionWriteMulti` the server did.
///
/// Source: vfio-user specification, `VFIO_USER_REGION_WRITE_MULTI`.
public struct RegionWriteMultiReply: WireMessage {
  /// The command that carries this payload.
  public static let command = Command.regionWriteMulti
  /// The length of the payload in bytes.
  public static let fixedByteCount = 8

  /// How many writes were done.
  public var count: UInt64

  /// Makes a reply.
  public init(count: UInt64) {
    self.count = count
  }

  /// Decodes a reply; throws when it is not exactly 8 bytes.
  public init(decoding payload: RawSpan) throws(WireError) {
    count = try payload.load(at: 0)
    guard payload.byteCount == Self.fixedByteCount else {
      throw WireError(.oversized, "the reply to REGION_WRITE_MULTI takes 8 bytes")
    }
  }

  /// The length of the encoded payload in bytes.
  public var encodedByteCount: Int { Self.fixedByteCount }

  /// Writes the payload into `bytes` at `offset`; throws `truncated` when it does not fit.
  public func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try bytes.store(count, at: offset)
  }
}
