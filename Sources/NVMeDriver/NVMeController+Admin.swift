public import NVMe
import VFIOUser

// Admin commands. Source: NVMe 1.4, section 5.

extension NVMeController {
  /// Carries out an admin command and waits for its end.
  ///
  /// - Parameters:
  ///   - entry: the command; its identifier and, with `data`, its PRPs are set here.
  ///   - data: memory that it moves.
  /// - Returns: dword 0 of the completion.
  /// - Throws: `status` for any but success; `connection`, `timedOut` and `fatal` when there is no
  ///   answer. After a timeout only ``reset()`` makes the admin queue usable again.
  @discardableResult
  public func execute(
    _ entry: SubmissionQueueEntry, data: NVMeBuffer? = nil
  ) throws(NVMeDriverError) -> UInt32 {
    let end = try admin.execute(entry, data: data, timeout: options.timeout)
    guard end.status.isSuccess else {
      throw NVMeDriverError(
        .status(end.status), "admin command 0x\(String(entry.opcode, radix: 16))")
    }
    return end.result
  }

  static func command(_ opcode: AdminOpcode, _ namespace: UInt32 = 0) -> SubmissionQueueEntry {
    var entry = SubmissionQueueEntry()
    entry.opcode = opcode.rawValue
    entry.namespaceIdentifier = namespace
    return entry
  }

  /// Lends memory to commands on a pair; while one of them may still use it, nobody else gets it.
  func withBuffer<Result>(
    _ byteCount: Int, for pair: NVMeQueuePair,
    _ body: (NVMeBuffer) throws(NVMeDriverError) -> Result
  ) throws(NVMeDriverError) -> Result {
    let buffer = try pool.allocate(byteCount)
    defer { if pair.inFlightCount == 0 { pool.release(buffer) } else { abandoned.append(buffer) } }
    return try body(buffer)
  }

  /// The data of an Identify command: 4096 bytes.
  ///
  /// - Parameters:
  ///   - structure: Controller or Namespace Structure (CNS).
  ///   - namespace: the namespace, where the structure is one's.
  /// - Throws: as ``execute(_:data:)``.
  public func identify(
    _ structure: UInt8, namespace: UInt32
  ) throws(NVMeDriverError) -> [UInt8] {
    try withBuffer(4096, for: admin) { (buffer) throws(NVMeDriverError) in
      var entry = Self.command(.identify, namespace)
      entry.dword10 = UInt32(structure)
      try execute(entry, data: buffer)
      return try buffer.read()
    }
  }

  /// The identifiers of the active namespaces, ascending; the first 1024 of them.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func namespaces() throws(NVMeDriverError) -> [UInt32] {
    let page = try identify(2, namespace: 0)
    var found: [UInt32] = []
    for start in stride(from: 0, to: 4096, by: 4) {
      var identifier: UInt32 = 0
      for byte in 0..<4 { identifier |= UInt32(page[start + byte]) << UInt32(byte * 8) }
      if identifier != 0 { found.append(identifier) }
    }
    return found
  }

  /// A namespace, as the controller describes it now.
  ///
  /// - Throws: as ``execute(_:data:)``; `unsupported` for blocks that are not of 512 to 65,536 bytes.
  public func namespace(_ identifier: UInt32) throws(NVMeDriverError) -> NVMeNamespaceInfo {
    let data = IdentifyNamespace(try identify(0, namespace: identifier))
    guard (512...65_536).contains(data.blockByteCount) else {
      throw NVMeDriverError(.unsupported, "namespace \(identifier) has no usable format")
    }
    return NVMeNamespaceInfo(identifier: identifier, data: data)
  }

  /// A log page, from its beginning.
  ///
  /// - Parameter byteCount: how much of it: a multiple of 4, from 4 to 2 MiB.
  /// - Throws: as ``execute(_:data:)``; `invalidArgument` for another size.
  public func log(
    _ page: LogPageIdentifier, byteCount: Int
  ) throws(NVMeDriverError) -> [UInt8] {
    guard byteCount >= 4, byteCount <= 2 << 20, byteCount % 4 == 0 else {
      throw NVMeDriverError(.invalidArgument, "a log page has no \(byteCount) bytes")
    }
    return try withBuffer(byteCount, for: admin) { (buffer) throws(NVMeDriverError) in
      let dwords = UInt32(byteCount / 4 - 1)
      var entry = Self.command(.getLogPage, 0xffff_ffff)
      entry.dword10 = UInt32(page.rawValue) | (dwords & 0xffff) << 16
      entry.dword11 = dwords >> 16
      try execute(entry, data: buffer)
      return try buffer.read()
    }
  }

  /// Sets a feature to the value of dword 11; returns dword 0 of the completion.
  ///
  /// - Throws: as ``execute(_:data:)``.
  @discardableResult
  public func setFeature(
    _ feature: FeatureIdentifier, _ value: UInt32
  ) throws(NVMeDriverError) -> UInt32 {
    var entry = Self.command(.setFeatures)
    entry.dword10 = UInt32(feature.rawValue)
    entry.dword11 = value
    return try execute(entry)
  }

  /// The current value of a feature that fits in 32 bits.
  ///
  /// - Parameter selector: dword 11, for a feature that there are several of.
  /// - Throws: as ``execute(_:data:)``.
  public func feature(
    _ feature: FeatureIdentifier, _ selector: UInt32 = 0
  ) throws(NVMeDriverError) -> UInt32 {
    var entry = Self.command(.getFeatures)
    entry.dword10 = UInt32(feature.rawValue)
    entry.dword11 = selector
    return try execute(entry)
  }

  /// Formats a namespace with one of its LBA formats; its data is gone.
  ///
  /// What ``namespace(_:)`` said before does not hold any more.
  ///
  /// - Parameters:
  ///   - namespace: its identifier; 0xffffffff for all.
  ///   - format: 0 to 15, as the namespace's identify data numbers them.
  /// - Throws: as ``execute(_:data:)``.
  public func format(_ namespace: UInt32, format: Int) throws(NVMeDriverError) {
    var entry = Self.command(.formatNVM, namespace)
    entry.dword10 = UInt32(format & 0xf)
    try execute(entry)
  }

  /// How many queue pairs have both doorbells within a page of shadows.
  ///
  /// - Parameter stride: bytes between doorbells, 4 at least.
  static func shadowedPairLimit(stride: UInt64) -> Int {
    let doorbellCount = (UInt64(NVMePool.pageByteCount) - 4) / stride + 1
    // The admin queue has the first two.
    return doorbellCount < 4 ? 0 : Int(doorbellCount / 2) - 1
  }

  /// Doorbell Buffer Config.
  func setShadowDoorbells() throws(NVMeDriverError) {
    guard identity.adminCommandSupport & 1 << 8 != 0 else {
      throw NVMeDriverError(.unsupported, "the controller has no Doorbell Buffer Config")
    }
    guard queuePairLimit > 0 else {
      throw NVMeDriverError(.unsupported, "the doorbells are too far apart for shadows in a page")
    }
    let values = try pool.allocate(4096)
    let indexes = try pool.allocate(4096)
    // From here on a reset gives them back.
    shadow = (values, indexes)
    try values.write([UInt8](repeating: 0, count: 4096))
    try indexes.write([UInt8](repeating: 0, count: 4096))
    var entry = Self.command(.doorbellBufferConfig)
    entry.prp1 = values.address.rawValue
    entry.prp2 = indexes.address.rawValue
    try execute(entry)
  }
}
