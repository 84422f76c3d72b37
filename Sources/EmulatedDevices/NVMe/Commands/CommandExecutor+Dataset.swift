import BlockStorage
import DeviceModel
import NVMe

extension CommandExecutor {
  /// Dataset Management: deallocates ranges of blocks; other hints are taken and have no effect.
  ///
  /// Source: NVMe 1.4, section 6.7.
  func manageDataset(_ request: NVMeRequest, _ namespace: NVMeNamespace) {
    let count = Int(request.entry.dword10 & 0xff) + 1
    let isDeallocating = request.entry.dword11 & 0x4 != 0
    guard let words = loadParameters(request, byteCount: count * 16) else { return }
    var ranges: [Range<UInt64>] = []
    let total = namespace.blockCount
    for index in 0..<count {
      let length = words[index * 2] >> 32
      let first = words[index * 2 + 1]
      guard first <= total, length <= total - first else {
        request.errorBlock = first
        return refuse(request, .blockOutOfRange, at: 24)
      }
      if length > 0 { ranges.append(first..<(first + length)) }
    }
    guard isDeallocating, !ranges.isEmpty else { return request.complete(.success) }
    guard !namespace.isReadOnly else { return request.complete(.namespaceWriteProtected) }
    start(DeallocateSteps(self, request, namespace, ranges), request)
  }

  /// Copies what a command has in its data buffer for the controller itself, as 64-bit words.
  ///
  /// - Returns: nil when the command was ended for an error.
  func loadParameters(_ request: NVMeRequest, byteCount: Int) -> [UInt64]? {
    if let status = pointer.resolve(
      request.entry, byteCount, .read, pageByteCount: pageByteCount, to: request.data)
    {
      refuse(request, status, at: 24)
      return nil
    }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    do {
      try bytes.withMutableRawSpan { (span) throws(DMAError) in
        try request.data.read(at: 0, into: &span)
      }
    } catch {
      request.complete(.dataTransferError)
      return nil
    }
    request.data.removeAll()
    return (0..<(byteCount / 8)).map { index in
      (0..<8).reduce(0) { $0 | UInt64(bytes[index * 8 + $1]) << UInt64($1 * 8) }
    }
  }
}

/// Deallocates ranges one after the other.
final class DeallocateSteps: CommandSteps {
  private unowned let executor: CommandExecutor
  private unowned let request: NVMeRequest
  private let namespace: NVMeNamespace
  private let ranges: [Range<UInt64>]
  private var next = 0
  /// Whether the range before the next is on its way.
  private var isPending = false

  init(
    _ executor: CommandExecutor, _ request: NVMeRequest, _ namespace: NVMeNamespace,
    _ ranges: [Range<UInt64>]
  ) {
    self.executor = executor
    self.request = request
    self.namespace = namespace
    self.ranges = ranges
  }

  func advance(_ error: Errno?) {
    if let error { return end(executor.status(for: error, request.block, namespace)) }
    if isPending { noteDone() }
    // A hint: a storage that cannot give space back has nothing to do.
    guard namespace.storage.traits.canDiscard else { return end(.success) }
    let shift = namespace.blockShift
    while next < ranges.count {
      let range = ranges[next]
      next += 1
      let block = request.block
      block.operation = .discard
      block.byteOffset = range.lowerBound << UInt64(shift)
      block.byteCount = Int(range.upperBound - range.lowerBound) << shift
      switch executor.submit(block, namespace) {
      case .done: noteDone()
      case .failed(let error): return end(executor.status(for: error, block, namespace))
      case .pending:
        isPending = true
        return
      }
    }
    end(.success)
  }

  /// A range reads as zeros, even if it could not be read before.
  private func noteDone() {
    isPending = false
    if namespace.hasUncorrectable { namespace.markWritten(ranges[next - 1]) }
  }

  private func end(_ status: NVMeStatus) {
    request.steps = nil
    request.complete(status)
  }
}
