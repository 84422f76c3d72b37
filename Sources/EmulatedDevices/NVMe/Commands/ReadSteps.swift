import BlockStorage
import DeviceModel
import NVMe

/// Reads blocks into a buffer of its own, a piece at a time: Verify, and Compare.
final class ReadSteps: CommandSteps {
  private unowned let executor: CommandExecutor
  private unowned let request: NVMeRequest
  private let namespace: NVMeNamespace
  private let expected: DMAScatterList?
  private let buffer: IOBuffer
  private let block: BlockRequest
  private let start: UInt64
  private let byteCount: Int
  private var done = 0
  private var pending = 0

  /// - Parameter expected: what the blocks should hold; nil when it does not matter.
  init(
    _ executor: CommandExecutor, _ request: NVMeRequest, _ namespace: NVMeNamespace,
    _ blocks: Range<UInt64>, comparesWith expected: DMAScatterList?
  ) {
    self.executor = executor
    self.request = request
    self.namespace = namespace
    self.expected = expected
    let shift = namespace.blockShift
    start = blocks.lowerBound << UInt64(shift)
    byteCount = blocks.count << shift
    buffer = IOBuffer(byteCount: min(byteCount, 131_072))
    block = BlockRequest(data: DMAScatterList(executor.engine), owner: executor)
    block.tag = request.index
    block.operation = .read
    executor.noteBuffer(buffer.byteCount)
  }

  func advance(_ error: Errno?) {
    if let error { return end(executor.status(for: error, block, namespace)) }
    if pending > 0, let status = take() { return end(status) }
    while done < byteCount {
      pending = min(byteCount - done, buffer.byteCount)
      block.data.removeAll()
      block.data.append(buffer, byteCount: pending)
      block.byteOffset = start + UInt64(done)
      block.byteCount = pending
      switch executor.submit(block, namespace) {
      case .done: if let status = take() { return end(status) }
      case .failed(let error): return end(executor.status(for: error, block, namespace))
      case .pending: return
      }
    }
    end(.success)
  }

  /// Looks at a piece that has arrived.
  private func take() -> NVMeStatus? {
    defer {
      done += pending
      pending = 0
    }
    guard let expected else { return nil }
    do {
      let isSame = try expected.matches(
        block.data, from: done, at: 0, byteCount: pending)
      return isSame ? nil : .compareFailure
    } catch {
      return .dataTransferError
    }
  }

  private func end(_ status: NVMeStatus) {
    executor.noteBuffer(-buffer.byteCount)
    request.steps = nil
    request.complete(status)
  }
}
