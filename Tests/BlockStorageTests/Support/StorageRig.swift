import BlockStorage
import Testing
@testable import VFIOUser

/// A loop, memory to move bytes through, and a channel of a storage; requests are waited for.
final class StorageRig: BlockRequestOwner {
  let loop: EventLoop
  let engine: DMAEngine
  let channel: any BlockChannel
  /// The grants of a client that is not there.
  let table = DMATable(capacity: 16)
  let ledger = LeaseLedger()
  private let client = ArrayClient()
  /// How the pending requests ended, by tag.
  private(set) var ends: [Int: Errno?] = [:]
  private(set) var isSubmitting = false
  /// Whether an owner was called from within `submit`.
  private(set) var wasCalledEarly = false

  init(_ storage: any BlockStorage) throws {
    loop = try EventLoop(polling: .never)
    engine = DMAEngine(loop: loop, table: table, ledger: ledger)
    engine.channel = client
    channel = try storage.makeChannel(on: loop)
  }

  deinit { channel.close() }

  func completed(_ request: BlockRequest, _ error: Errno?) {
    if isSubmitting { wasCalledEarly = true }
    ends[request.tag] = .some(error)
  }

  /// A request over a new buffer, or over none.
  func request(
    _ operation: BlockOperation, at offset: UInt64 = 0, byteCount: Int = 0, tag: Int = 0,
    isDurable: Bool = false, buffer: IOBuffer? = nil, bufferOffset: Int = 0
  ) -> BlockRequest {
    let data = DMAScatterList(engine)
    if operation == .read || operation == .write {
      data.append(
        buffer ?? IOBuffer(byteCount: max(byteCount, 1)), at: bufferOffset, byteCount: byteCount)
    }
    let request = BlockRequest(data: data, owner: self)
    request.operation = operation
    request.byteOffset = offset
    request.byteCount = byteCount
    request.isDurable = isDurable
    request.tag = tag
    return request
  }

  func takeEnd(_ tag: Int) -> Errno?? { ends.removeValue(forKey: tag) }
  func forgetEnds() { ends = [:] }

  /// Grants memory that is mapped in this process.
  func grant(_ address: UInt64, _ memory: SharedMemory) throws {
    try insert(address, memory.byteCount) { range in
      try DMAMapping(
        range, rights: [.read, .write], file: memory.descriptor.duplicate(), offset: 0)
    }
  }

  /// Grants memory that is reached by messages.
  func grantMessages(_ address: UInt64, _ byteCount: Int) throws {
    try insert(address, byteCount) { DMAMapping(messages: $0, rights: [.read, .write]) }
  }

  private func insert(
    _ address: UInt64, _ byteCount: Int, _ make: (DMARange) throws -> DMAMapping
  ) throws {
    let range = DMARange(address: DMAAddress(address), byteCount: UInt64(byteCount))
    let mapping = try make(try #require(range))
    engine.invalidate()
    try table.insert(mapping)
  }

  func submit(_ request: BlockRequest) -> BlockOutcome {
    isSubmitting = true
    defer { isSubmitting = false }
    return channel.submit(request)
  }

  /// Runs the loop until `condition` holds, for a minute at most.
  func wait(until condition: () -> Bool) throws {
    let end = ContinuousClock.now + .seconds(60)
    while !condition(), ContinuousClock.now < end { try loop.runOnce(timeout: .milliseconds(20)) }
    try #require(condition(), "it takes too long")
  }

  /// Carries out one request; nil when it succeeded.
  func run(_ request: BlockRequest) throws -> Errno? {
    let outcome = submit(request)
    channel.kick()
    switch outcome {
    case .done: return nil
    case .failed(let error): return error
    case .pending:
      try wait { ends[request.tag] != nil }
      return ends.removeValue(forKey: request.tag) ?? nil
    }
  }

  func write(_ bytes: [UInt8], at offset: UInt64, isDurable: Bool = false) throws -> Errno? {
    let buffer = IOBuffer(byteCount: bytes.count)
    try buffer.write(at: 0, from: bytes.rawSpan)
    return try run(
      request(.write, at: offset, byteCount: bytes.count, isDurable: isDurable, buffer: buffer))
  }

  func read(_ byteCount: Int, at offset: UInt64) throws -> [UInt8] {
    let buffer = IOBuffer(byteCount: byteCount)
    let error = try run(request(.read, at: offset, byteCount: byteCount, buffer: buffer))
    if let error { throw error }
    return try buffer.bytes(byteCount)
  }

  func perform(_ operation: BlockOperation, at offset: UInt64 = 0, byteCount: Int = 0) throws
    -> Errno?
  { try run(request(operation, at: offset, byteCount: byteCount)) }
}

/// A client that answers DMA messages at once, from an array.
private final class ArrayClient: DMAMessageChannel {
  var memory = [UInt8](repeating: 0, count: 1 << 20)
  var maximumTransferByteCount = 4096

  func sendRead(
    at address: DMAAddress, byteCount: Int,
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let start = Int(address.rawValue)
    completion(.success(Array(memory[start..<(start + byteCount)])))
  }

  func sendWrite(
    at address: DMAAddress, bytes: [UInt8],
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    let start = Int(address.rawValue)
    memory.replaceSubrange(start..<(start + bytes.count), with: bytes)
    completion(.success([]))
  }

  func pump(until isDone: () -> Bool) -> Bool { isDone() }
}

extension IOBuffer {
  /// The first bytes.
  func bytes(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var span = bytes.mutableSpan
    var raw = span.mutableBytes
    try read(at: 0, into: &raw)
    return bytes
  }
}

/// Bytes that differ from place to place.
func pattern(_ byteCount: Int, seed: Int = 1) -> [UInt8] {
  (0..<byteCount).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8) ^ (seed &* 89)) }
}
