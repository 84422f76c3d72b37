import DeviceModel
import NVMe

/// Carries out the commands of the admin queue.
///
/// Threads: confined to the device's loop.
///
/// Source: NVMe 1.4, section 5.
final class AdminExecutor: CommandHandler {
  unowned let controller: NVMeController
  unowned let function: PCIFunction
  var features = ControllerFeatures()
  var errors = ErrorLog()
  var events = AsynchronousEvents()
  /// Namespaces that have changed since the driver has last read the list, each with the number of
  /// its last change.
  var changedNamespaces: [UInt32: UInt64] = [:]
  private var changeCount: UInt64 = 0
  /// Commands other than event requests that are left open for now: formats.
  var background: [ObjectIdentifier: NVMeRequest] = [:]
  /// Counts resets, so that nothing completes late.
  var epoch = 0
  let start = MonotonicTime.now
  let keepAlive: KeepAliveTimer

  var queues: QueueSet { controller.queues }
  var namespaces: NamespaceTable { controller.namespaces }

  init(_ controller: NVMeController, _ function: PCIFunction) {
    self.controller = controller
    self.function = function
    keepAlive = KeepAliveTimer(function) { [unowned controller] in controller.keepAliveExpired() }
  }

  /// Forgets what a reset of the controller ends; the error log stays.
  func reset() {
    epoch += 1
    events.removeAll()
    let open = background.values
    background = [:]
    for request in open { request.drop() }
    features = ControllerFeatures()
    keepAlive.stop()
    changedNamespaces = [:]
  }

  func execute(_ request: NVMeRequest) {
    // Neither fused nor anything reserved; SGLs are for I/O commands.
    guard request.entry.words[0] & 0xff00 == 0 else {
      return refuse(request, .invalidField, at: 1)
    }
    switch AdminOpcode(rawValue: request.entry.opcode) {
    case .deleteSubmissionQueue: deleteSubmissionQueue(request)
    case .createSubmissionQueue: createSubmissionQueue(request)
    case .getLogPage: getLogPage(request)
    case .deleteCompletionQueue: deleteCompletionQueue(request)
    case .createCompletionQueue: createCompletionQueue(request)
    case .identify: identify(request)
    case .abort: abort(request)
    case .setFeatures: setFeatures(request)
    case .getFeatures: getFeatures(request)
    case .asynchronousEventRequest:
      if !events.add(request) { request.complete(.asynchronousEventRequestLimitExceeded) }
    case .keepAlive:
      keepAlive.restart()
      request.complete(.success)
    case .doorbellBufferConfig: configureDoorbellBuffers(request)
    case .formatNVM: format(request)
    default: refuse(request, .invalidOpcode, at: 0)
    }
  }

  // MARK: Errors

  /// Ends a command whose byte `location` is wrong.
  func refuse(_ request: NVMeRequest, _ status: NVMeStatus, at location: UInt16 = .max) {
    request.parameterLocation = location
    request.complete(status)
  }

  /// The driver has been silent for longer than it said.
  func noteSilence() {
    errors.add(
      ErrorReport(
        submissionQueue: .max, commandIdentifier: .max, status: .keepAliveTimerExpired))
  }

  /// A command has failed.
  func noteError(_ report: ErrorReport) { errors.add(report) }

  /// A doorbell was written wrongly.
  func noteDoorbellError(_ error: DoorbellError) {
    errors.add(
      ErrorReport(submissionQueue: .max, commandIdentifier: .max, status: .invalidField))
    events.report(.init(kind: .error, information: error.rawValue, page: .errorInformation))
  }

  // MARK: Data

  /// Writes `bytes` to the memory that the command names, and ends it.
  ///
  /// - Returns: whether the driver has them; otherwise the command has failed.
  @discardableResult
  func answer(_ request: NVMeRequest, _ bytes: [UInt8]) -> Bool {
    let executor = request.group.executor
    if let status = executor.pointer.resolve(
      request.entry, bytes.count, .write, pageByteCount: controller.pageByteCount,
      to: request.data)
    {
      refuse(request, status, at: 24)
      return false
    }
    do {
      try request.data.write(at: 0, from: bytes.rawSpan)
    } catch {
      request.complete(.dataTransferError)
      return false
    }
    request.complete(.success)
    return true
  }

  /// The driver will find the namespaces in the list of those that have changed.
  func noteChange(of namespaces: [NVMeNamespace]) {
    changeCount += 1
    for namespace in namespaces { changedNamespaces[namespace.identifier] = changeCount }
  }

  // MARK: Abort

  /// Abort: takes back an event request; of others it says that they were not aborted.
  ///
  /// The specification asks for no more than the best effort. What a storage has may still move its
  /// data, so the driver must not be told that it ended; what is not fetched yet cannot be told from
  /// what was never sent; and while a format holds commands back, this one waits as well.
  ///
  /// Source: NVMe 1.4, section 5.1.
  private func abort(_ request: NVMeRequest) {
    let queue = UInt16(truncatingIfNeeded: request.entry.dword10)
    let command = UInt16(truncatingIfNeeded: request.entry.dword10 >> 16)
    guard queues.hasSubmissionQueue(queue) else { return refuse(request, .invalidField, at: 40) }
    if queue == 0, let event = events.take(command) {
      event.complete(.abortRequested)
      return request.complete(.success, result: 0)
    }
    request.complete(.success, result: 1)
  }
}
