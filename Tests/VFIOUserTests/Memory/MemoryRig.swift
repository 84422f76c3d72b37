@testable import VFIOUser

/// Grants without a session: mapped memory, and memory that a fake client serves by messages.
final class MemoryRig {
  let loop: EventLoop
  let table = DMATable(capacity: 64)
  let engine: DMAEngine
  let client = FakeMessageChannel()
  let ledger = LeaseLedger()

  init() throws {
    loop = try EventLoop(polling: .never)
    engine = DMAEngine(loop: loop, table: table, ledger: ledger)
    engine.channel = client
  }

  /// Grants a range of a file.
  @discardableResult
  func map(
    _ address: UInt64, _ memory: SharedMemory, _ rights: DMARights = [.read, .write],
    byteCount: Int? = nil, offset: UInt64 = 0
  ) throws -> DMAMapping {
    let range = DMARange(
      address: DMAAddress(address), byteCount: UInt64(byteCount ?? memory.byteCount))
    guard let range else { throw Errno.invalidArgument }
    let mapping = try DMAMapping(
      range, rights: rights, file: memory.descriptor.duplicate(), offset: offset)
    try insert(mapping)
    return mapping
  }

  /// Grants a range of the fake client's memory.
  func mapMessages(
    _ address: UInt64, _ byteCount: Int, _ rights: DMARights = [.read, .write]
  ) throws {
    guard let range = DMARange(address: DMAAddress(address), byteCount: UInt64(byteCount)) else {
      throw Errno.invalidArgument
    }
    try insert(DMAMapping(messages: range, rights: rights))
  }

  private func insert(_ mapping: DMAMapping) throws {
    engine.invalidate()
    try table.insert(mapping)
  }

  func unmap(_ address: UInt64, _ byteCount: Int) throws {
    guard let range = DMARange(address: DMAAddress(address), byteCount: UInt64(byteCount)) else {
      throw Errno.invalidArgument
    }
    engine.invalidate()
    _ = try table.remove(range)
  }

  func window(_ address: UInt64, _ byteCount: UInt64) throws -> DMAWindow {
    guard let range = DMARange(address: DMAAddress(address), byteCount: byteCount) else {
      throw Errno.invalidArgument
    }
    return DMAWindow(engine, range)
  }
}

/// A client that answers DMA messages at once, from an array.
final class FakeMessageChannel: DMAMessageChannel {
  var memory = [UInt8](repeating: 0, count: 1 << 20)
  var requests = 0
  var maximumTransferByteCount = 4096

  func sendRead(
    at address: DMAAddress, byteCount: Int,
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    requests += 1
    let start = Int(address.rawValue)
    completion(.success(Array(memory[start..<(start + byteCount)])))
  }

  func sendWrite(
    at address: DMAAddress, bytes: [UInt8],
    completion: @escaping (Result<[UInt8], DMAError>) -> Void
  ) {
    requests += 1
    let start = Int(address.rawValue)
    memory.replaceSubrange(start..<(start + bytes.count), with: bytes)
    completion(.success([]))
  }

  func pump(until isDone: () -> Bool) -> Bool { isDone() }
}

/// The code of the error that `body` throws.
func failure<Value>(_ body: () throws(DMAError) -> Value) -> DMAError.Code? {
  do throws(DMAError) {
    _ = try body()
    return nil
  } catch { return error.code }
}
