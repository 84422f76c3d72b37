import BlockStorage
import DeviceModel

/// Requests of the controller itself to its storages, one after the other: flushes, formats.
///
/// Keeps itself alive until it is done.
///
/// Threads: confined to the device's loop.
final class NamespaceWork: BlockRequestOwner {
  struct Step {
    var namespace: NVMeNamespace
    var operation: BlockOperation
    var byteOffset: UInt64 = 0
    var byteCount = 0
  }

  private let executor: CommandExecutor
  private var steps: [Step]
  private let completion: (Errno?) -> Void
  private var next = 0
  private var failure: Errno?
  private var itself: NamespaceWork?
  private lazy var block = BlockRequest(data: DMAScatterList(executor.engine), owner: self)

  /// Starts the steps; `completion` gets the first error.
  @discardableResult
  init(
    _ steps: [Step], by executor: CommandExecutor, _ completion: @escaping (Errno?) -> Void
  ) {
    self.steps = steps
    self.executor = executor
    self.completion = completion
    itself = self
    advance()
  }

  /// The steps that free or zero all of a namespace.
  static func erasing(_ namespace: NVMeNamespace) -> [Step] {
    let operation: BlockOperation =
      namespace.storage.traits.canDiscard ? .discard : .writeZeroes
    let piece: UInt64 = 1 << 30
    return stride(from: 0, to: namespace.storage.byteCount, by: Int(piece)).map { offset in
      Step(
        namespace: namespace, operation: operation, byteOffset: offset,
        byteCount: Int(min(piece, namespace.storage.byteCount - offset)))
    }
  }

  func completed(_ request: BlockRequest, _ error: Errno?) {
    failure = failure ?? error
    advance()
  }

  private func advance() {
    while next < steps.count {
      let step = steps[next]
      next += 1
      block.operation = step.operation
      block.byteOffset = step.byteOffset
      block.byteCount = step.byteCount
      switch executor.submitAside(block, step.namespace) {
      case .done: break
      case .failed(let error): failure = failure ?? error
      case .pending: return
      }
    }
    completion(failure)
    itself = nil
  }
}
