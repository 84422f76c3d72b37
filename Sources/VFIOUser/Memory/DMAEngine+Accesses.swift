extension DMAEngine {
  // MARK: Blocking form

  /// Copies guest memory into `bytes`.
  ///
  /// - Throws: `disabled`, `notMapped` and `notPermitted` before a byte has moved; `lost` when the
  ///   client took mapped memory away; and where memory is reached by messages `clientFailed`,
  ///   `timedOut` (``DeviceOptions/clientTimeout``) and `cancelled`.
  public func read(at address: DMAAddress, into bytes: inout MutableRawSpan) throws(DMAError) {
    let count = bytes.byteCount
    guard gate.isOpen else { throw DMAError(.disabled, address, count) }
    if let source = unsafe resolve(address.rawValue, count, .read) {
      // Safety: `count` bytes from `source` are mapped readable, and the span has as many.
      unsafe bytes.withUnsafeMutableBytes { target in
        guard let base = target.baseAddress else { return }
        unsafe base.copyMemory(from: source, byteCount: count)
      }
      if !isIntact, hasLost(recent) { throw DMAError(.lost, address, count) }
      return
    }
    for piece in try pieces(address, count, .read) {
      if piece.mapping.access == .messages {
        let data = try blockingRead(piece.address, piece.part.count)
        var target = bytes._mutatingExtracting(piece.part)
        guard data.count == piece.part.count, (try? target.store(bytes: data.rawSpan, at: 0)) != nil
        else {
          throw DMAError(.clientFailed, address, count)
        }
      } else {
        do { try piece.mapping.copyOut(piece.offset, into: &bytes, piece.part) } catch {
          throw DMAError(.lost, address, count)
        }
      }
    }
  }

  /// Copies `bytes` into guest memory.
  ///
  /// - Throws: as ``read(at:into:)``. After `lost`, `clientFailed`, `timedOut` and `cancelled` a
  ///   part may have been written.
  public func write(at address: DMAAddress, from bytes: RawSpan) throws(DMAError) {
    let count = bytes.byteCount
    guard gate.isOpen else { throw DMAError(.disabled, address, count) }
    if let target = unsafe resolve(address.rawValue, count, .write) {
      // Safety: `count` bytes from `target` are mapped writable, and the span has as many.
      unsafe bytes.withUnsafeBytes { source in
        guard let base = source.baseAddress else { return }
        unsafe target.copyMemory(from: base, byteCount: count)
      }
      if !isIntact, hasLost(recent) { throw DMAError(.lost, address, count) }
      return
    }
    for piece in try pieces(address, count, .write) {
      if piece.mapping.access == .messages {
        try blockingWrite(piece.address, [UInt8](copying: bytes.extracting(piece.part)))
      } else {
        do { try piece.mapping.copyIn(piece.offset, from: bytes, piece.part) } catch {
          throw DMAError(.lost, address, count)
        }
      }
    }
  }

  /// Reads a little-endian integer of 1 to 16 bytes, aligned or not; throws as ``read(at:into:)``.
  public func load<Value: FixedWidthInteger & BitwiseCopyable>(
    at address: DMAAddress, as type: Value.Type = Value.self
  ) throws(DMAError) -> Value {
    var bytes: [16 of UInt8] = .init(repeating: 0)
    let width = MemoryLayout<Value>.size
    var span = bytes.mutableSpan
    // Safety: bytes have neither padding nor invalid values.
    var raw = unsafe span.mutableBytes
    var part = raw._mutatingExtracting(0..<width)
    try read(at: address, into: &part)
    guard let value = try? part.bytes.load(at: 0, as: Value.self) else {
      throw DMAError(.unaligned, address, width)
    }
    return value
  }

  /// Writes a little-endian integer of 1 to 16 bytes, aligned or not; throws as
  /// ``write(at:from:)``.
  public func store<Value: FixedWidthInteger & BitwiseCopyable>(
    _ value: Value, at address: DMAAddress
  ) throws(DMAError) {
    var bytes: [16 of UInt8] = .init(repeating: 0)
    var span = bytes.mutableSpan
    // Safety: bytes have neither padding nor invalid values.
    var raw = unsafe span.mutableBytes
    // The buffer holds the widest integer, so this cannot fail.
    try? raw.store(value, at: 0)
    try write(at: address, from: raw.bytes.extracting(0..<MemoryLayout<Value>.size))
  }

  // MARK: Completion form

  /// Copies guest memory and hands it to `completion`, now or when the client has answered.
  ///
  /// A client that does not answer in time (``DeviceOptions/clientTimeout``) fails the access. The
  /// errors are those of ``read(at:into:)``.
  public func read(
    at address: DMAAddress, byteCount: Int,
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    DMATransfer(engine: self, address: address, right: .read, byteCount: byteCount) {
      completion($0)
    }.start()
  }

  /// Copies `bytes` into guest memory and tells `completion`, now or when the client has answered.
  ///
  /// A client that does not answer in time (``DeviceOptions/clientTimeout``) fails the access. The
  /// errors are those of ``write(at:from:)``.
  public func write(
    at address: DMAAddress, bytes: [UInt8],
    completion: @escaping (Result<Void, DMAError>) -> Void
  ) {
    DMATransfer(
      engine: self, address: address, right: .write, byteCount: bytes.count, bytes: bytes
    ) {
      completion($0.map { _ in })
    }.start()
  }
}
