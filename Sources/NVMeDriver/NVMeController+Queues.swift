import NVMe
import VFIOUser

// Memory and queue pairs for drivers that keep many commands in flight.

extension NVMeController {
  /// Memory for data, which the controller reaches; what is in it is left over from earlier use.
  ///
  /// - Parameter byteCount: in bytes; whole pages of 4096 are taken, and it starts at one.
  /// - Throws: `outOfMemory`.
  public func makeBuffer(byteCount: Int) throws(NVMeDriverError) -> NVMeBuffer {
    try pool.allocate(byteCount)
  }

  /// Gives memory back that no command uses any more.
  ///
  /// - Parameter buffer: as ``makeBuffer(byteCount:)`` made it, no part of it, and only once.
  public func release(_ buffer: NVMeBuffer) { pool.release(buffer) }

  /// Makes an I/O submission queue with a completion queue of its own.
  ///
  /// - Parameters:
  ///   - entryCount: the size of both, 2 to what the controller has; one less can be in flight.
  ///   - usesInterrupt: whether ``NVMeQueuePair/reap(into:timeout:)`` sleeps until the device
  ///     interrupts, rather than look again and again.
  /// - Throws: `invalidArgument` for another size, or when there are as many pairs as there can be;
  ///   `outOfMemory`; `unsupported` when the device has too few interrupts; as ``execute(_:data:)``.
  public func makeQueuePair(
    entryCount: Int, usesInterrupt: Bool = false
  ) throws(NVMeDriverError) -> NVMeQueuePair {
    guard entryCount >= 2, entryCount <= capabilities.maximumQueueEntryCount else {
      throw NVMeDriverError(
        .invalidArgument,
        "a queue has 2 to \(capabilities.maximumQueueEntryCount) entries, not \(entryCount)")
    }
    guard let number = (1...max(queuePairLimit, 1)).first(where: isUnused) else {
      throw NVMeDriverError(
        .invalidArgument, "the controller has no more than \(queuePairLimit) queue pairs")
    }
    let identifier = UInt16(number)
    let interrupt = usesInterrupt ? try self.interrupt(number) : nil
    let pair = try NVMeQueuePair(
      identifier: identifier, entryCount: entryCount, pool: pool, registers: registers,
      stride: doorbellStride, shadow: shadow.map { ($0.values.offset, $0.indexes.offset) },
      interrupt: interrupt)
    // Kept until the controller is reset, should a command end late.
    pairs.append(pair)
    let size = UInt32(identifier) | UInt32(entryCount - 1) << 16
    var entry = Self.command(.createCompletionQueue)
    entry.prp1 = pair.completion.address.rawValue
    entry.dword10 = size
    entry.dword11 = 1 | (usesInterrupt ? 2 | UInt32(identifier) << 16 : 0)
    try create(entry, pair)
    entry = Self.command(.createSubmissionQueue)
    entry.prp1 = pair.submission.address.rawValue
    entry.dword10 = size
    entry.dword11 = 1 | UInt32(identifier) << 16
    do throws(NVMeDriverError) { try create(entry, pair) } catch {
      if case .status = error.code {
        entry = Self.command(.deleteCompletionQueue)
        entry.dword10 = UInt32(identifier)
        try execute(entry)
      }
      throw error
    }
    do throws(NVMeDriverError) { try connectDoorbells(of: pair) } catch {
      try delete(pair)
      throw error
    }
    return pair
  }

  private func isUnused(_ number: Int) -> Bool {
    !pairs.contains { Int($0.identifier) == number }
  }

  private func create(
    _ entry: SubmissionQueueEntry, _ pair: NVMeQueuePair
  ) throws(NVMeDriverError) {
    do throws(NVMeDriverError) { try execute(entry) } catch {
      // Refused, so the controller does not use the memory.
      if case .status = error.code { forget(pair) }
      throw error
    }
  }

  private func forget(_ pair: NVMeQueuePair) {
    pairs.removeAll { $0 === pair }
    pair.release(to: pool)
  }

  /// Deletes a queue pair; what was in flight ends without a completion, and calls on it throw.
  ///
  /// Memory of commands that were in flight is free afterwards.
  ///
  /// - Throws: as ``execute(_:data:)``.
  public func delete(_ pair: NVMeQueuePair) throws(NVMeDriverError) {
    guard pairs.contains(where: { $0 === pair }) else { throw pair.gone }
    var entry = Self.command(.deleteSubmissionQueue)
    entry.dword10 = UInt32(pair.identifier)
    try execute(entry)
    entry = Self.command(.deleteCompletionQueue)
    entry.dword10 = UInt32(pair.identifier)
    try execute(entry)
    if ownPair === pair { ownPair = nil }
    forget(pair)
  }

  private func interrupt(_ vector: Int) throws(NVMeDriverError) -> ClientInterrupt {
    do throws(ClientError) {
      if interrupts.isEmpty {
        let info = try client.interruptInfo(index: 2)
        interrupts = try client.enableInterrupts(index: 2, count: Int(info.count))
        try enableMessageInterrupts()
      }
    } catch {
      throw NVMeDriverError(error, "no interrupts")
    }
    guard vector < interrupts.count else {
      throw NVMeDriverError(.unsupported, "the device has no interrupt for queue \(vector)")
    }
    return interrupts[vector]
  }

  /// Sets MSI-X Enable in the capability, wherever it is.
  private func enableMessageInterrupts() throws(ClientError) {
    let configuration = try client.region(at: 7)
    var place: UInt8 = try configuration.read(at: RegionOffset(0x34))
    var seen = 0
    while place != 0, seen < 48 {
      let identifier: UInt8 = try configuration.read(at: RegionOffset(UInt64(place)))
      if identifier == 0x11 {
        let control: UInt16 = try configuration.read(at: RegionOffset(UInt64(place) + 2))
        return try configuration.write(control | 0x8000, at: RegionOffset(UInt64(place) + 2))
      }
      place = try configuration.read(at: RegionOffset(UInt64(place) + 1))
      seen += 1
    }
  }
}
