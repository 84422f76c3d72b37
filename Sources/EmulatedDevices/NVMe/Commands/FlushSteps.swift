import BlockStorage
import DeviceModel
import NVMe

/// Flush: what was written to one namespace, or to all, is on its medium.
///
/// Source: NVMe 1.4, section 6.8.
final class FlushSteps: CommandSteps {
  private unowned let executor: CommandExecutor
  private unowned let request: NVMeRequest
  private let namespaces: [NVMeNamespace]
  private var next = 0
  private var status: NVMeStatus?

  init(_ executor: CommandExecutor, _ request: NVMeRequest, _ namespaces: [NVMeNamespace]) {
    self.executor = executor
    self.request = request
    self.namespaces = namespaces
  }

  func advance(_ error: Errno?) {
    if let error { fail(error) }
    while next < namespaces.count {
      let namespace = namespaces[next]
      next += 1
      request.block.operation = .flush
      request.block.byteOffset = 0
      request.block.byteCount = 0
      switch executor.submit(request.block, namespace) {
      case .done: break
      case .failed(let error): fail(error)
      case .pending: return
      }
    }
    request.steps = nil
    request.complete(status ?? .success)
  }

  /// The others are flushed all the same.
  private func fail(_ error: Errno) {
    status = status ?? executor.status(for: error, request.block, namespaces[next - 1])
  }
}
