import DeviceModel
import NVMe

/// The controller as its registers show it: enabled, disabled, shut down, reset.
///
/// Threads: confined to the device's loop.
///
/// Source: NVMe 1.4, sections 3.1 and 7.3 to 7.6.
final class NVMeController {
  private enum State {
    case disabled
    case enabled
    /// CC.EN was cleared, and commands are in flight still; whether it was set again meanwhile.
    case disabling(isWanted: Bool)
  }

  let settings: ControllerSettings
  let namespaces: NamespaceTable
  let queues: QueueSet
  private unowned let function: PCIFunction
  private let registers: RegisterBlock<NVMeRegister>
  private let doorbells: SharedDeviceMemory
  private var handler: DoorbellHandler?
  private var admin: AdminExecutor?
  private var state = State.disabled
  private var isQuiet = false
  /// How many formats have the queues stopped, or want them to be.
  private var quietCount = 0
  /// Whether the driver is taken for dead: nothing is fetched until it has reset the controller.
  private var isAbandoned = false
  /// Counts resets, so that what was begun before one does not end in what follows.
  private var epoch = 0
  private var interruptMask: UInt32 = 0
  /// The memory page size (CC.MPS) in bytes, as it was when the controller was enabled.
  private(set) var pageByteCount = 4096

  init(
    _ function: PCIFunction, namespaces: NamespaceTable, settings: ControllerSettings
  ) throws {
    self.function = function
    self.settings = settings
    self.namespaces = namespaces
    registers = try function.registers(NVMeRegister.self)
    doorbells = try function.sharedMemory(NVMeHardware.doorbellsName, in: 0)
    queues = QueueSet(
      function, namespaces: namespaces, limits: settings.limits, doorbells: doorbells,
      mode: settings.doorbells, threadCount: settings.threadCount,
      queueCount: settings.queueCount)
    if settings.doorbells == .trapped {
      try function.withholdMapping(of: NVMeHardware.doorbellsName, in: 0)
      let handler = DoorbellHandler(queues, doorbells)
      try function.setHandler(handler, for: NVMeHardware.doorbellsName, in: 0)
      self.handler = handler
      queues.offerPaths()
    }
    let admin = AdminExecutor(self, function)
    self.admin = admin
    queues.onFailure = { [unowned self] in fail($0) }
    queues.onDoorbellError = { [unowned self, unowned admin] error in
      // A doorbell of a disabled controller means nothing.
      if case .enabled = state { admin.noteDoorbellError(error) }
    }
    queues.onCommandError = { [unowned admin] in admin.noteError($0) }
    registers.effect = { [unowned self] access throws(Errno) in accessed(&access) }
  }

  deinit {
    // Open commands keep their queue, and through it the admin executor that keeps them.
    admin?.reset()
  }

  // MARK: Registers

  private var status: ControllerStatus {
    get { ControllerStatus(rawValue: UInt32(truncatingIfNeeded: registers[.status])) }
    set { registers[.status] = UInt64(newValue.rawValue) }
  }

  /// The most entries that an I/O queue can have.
  var maximumQueueEntryCount: Int {
    ControllerCapabilities(rawValue: registers[.capabilities]).maximumQueueEntryCount
  }

  /// Whether CC.IOSQES says the only size that there is.
  var hasSubmissionEntrySize: Bool { configuration.submissionEntryShift == 6 }
  /// Whether CC.IOCQES says the only size that there is.
  var hasCompletionEntrySize: Bool { configuration.completionEntryShift == 4 }

  private var configuration: ControllerConfiguration {
    ControllerConfiguration(rawValue: UInt32(truncatingIfNeeded: registers[.configuration]))
  }

  private func accessed(_ access: inout RegisterEffect) {
    switch NVMeRegister(access) {
    case .interruptMaskSet, .interruptMaskClear:
      if access.isWrite {
        let bits = UInt32(truncatingIfNeeded: access.written)
        let isSet = NVMeRegister(access) == .interruptMaskSet
        interruptMask = isSet ? interruptMask | bits : interruptMask & ~bits
        queues.interruptMask = interruptMask
        access.value = 0
      } else {
        access.value = UInt64(interruptMask)
      }
    case .configuration:
      configurationChanged(
        from: ControllerConfiguration(rawValue: UInt32(truncatingIfNeeded: access.oldValue)),
        to: ControllerConfiguration(rawValue: UInt32(truncatingIfNeeded: access.value)))
    case .subsystemReset:
      access.value = 0
      if access.written == 0x4e56_4d65 { resetSubsystem() }
    default: break
    }
  }

  private func configurationChanged(
    from old: ControllerConfiguration, to new: ControllerConfiguration
  ) {
    if new.isEnabled, !old.isEnabled {
      switch state {
      case .disabled: enable(new)
      case .disabling: state = .disabling(isWanted: true)
      case .enabled: break
      }
    } else if !new.isEnabled, old.isEnabled {
      disable()
    }
    let notification = new.shutdownNotification
    if notification != old.shutdownNotification {
      switch notification {
      case .normal: shutDown(flushing: true)
      case .abrupt: shutDown(flushing: false)
      case .none?, nil: break
      }
    }
  }

  // MARK: Enable and disable

  private func enable(_ configuration: ControllerConfiguration) {
    let attributes = registers[.adminQueueAttributes]
    let submissionEntries = Int(attributes & 0xfff) + 1
    let completionEntries = Int(attributes >> 16 & 0xfff) + 1
    let submission = registers[.adminSubmissionQueue]
    let completion = registers[.adminCompletionQueue]
    let byteCount = 4096 << Int(configuration.pageShift)
    let reason: String? =
      if configuration.pageShift > UInt32(NVMeHardware.maximumPageShift) {
        "CC.MPS is \(configuration.pageShift)"
      } else if configuration.commandSet != 0 {
        "CC.CSS is \(configuration.commandSet)"
      } else if configuration.arbitration != 0 {
        "CC.AMS is \(configuration.arbitration)"
      } else if (submission | completion) & UInt64(byteCount - 1) != 0 {
        "an admin queue is not aligned to a page"
      } else if submissionEntries < 2 || completionEntries < 2 {
        "an admin queue has a single entry"
      } else {
        nil
      }
    guard reason == nil, let admin else { return fail(reason ?? "") }
    do {
      try queues.enable(
        submission: DMAAddress(submission), submissionEntryCount: submissionEntries,
        completion: DMAAddress(completion), completionEntryCount: completionEntries,
        pageByteCount: byteCount, handler: admin)
    } catch {
      return fail("no loop for the queues: \(error)")
    }
    pageByteCount = byteCount
    state = .enabled
    isAbandoned = false
    status.shutdown = ControllerStatus.Shutdown.none
    status.isFatal = false
    status.isReady = true
    // A shutdown of the disabled controller may have stopped them.
    resumeQueues()
    function.logger.info("nvme: enabled")
  }

  /// RDY falls once nothing is in flight: nothing completes after that.
  private func disable() {
    guard case .enabled = state else {
      if case .disabling = state { state = .disabling(isWanted: false) }
      status.isFatal = false
      status.shutdown = ControllerStatus.Shutdown.none
      return
    }
    state = .disabling(isWanted: false)
    status.shutdown = ControllerStatus.Shutdown.none
    epoch += 1
    let expected = epoch
    admin?.reset()
    queues.disable { [weak self] in
      guard let self, epoch == expected else { return }
      disabled()
    }
  }

  private func disabled() {
    var isWanted = false
    if case .disabling(let wish) = state { isWanted = wish }
    state = .disabled
    interruptMask = 0
    queues.interruptMask = 0
    var new = status
    new.isReady = false
    new.isFatal = false
    status = new
    function.logger.info("nvme: disabled")
    if isWanted { enable(configuration) }
  }

  private func shutDown(flushing: Bool) {
    // One at a time, however often a driver asks.
    guard status.shutdown != .occurring else { return }
    status.shutdown = .occurring
    admin?.keepAlive.stop()
    let expected = epoch
    let finish: (Errno?) -> Void = { [weak self] error in
      guard let self, epoch == expected else { return }
      if let error { function.logger.error("nvme: a flush at shutdown failed: \(error)") }
      status.shutdown = .complete
      function.logger.info("nvme: shut down")
    }
    queues.pause { [weak self] in
      guard let self, epoch == expected else { return }
      guard flushing, let executor = queues.home?.executor else { return finish(nil) }
      NamespaceWork(
        namespaces.all.map { NamespaceWork.Step(namespace: $0, operation: .flush) },
        by: executor, finish)
    }
  }

  private func resetSubsystem() {
    function.logger.notice("nvme: subsystem reset")
    for register in [
      NVMeRegister.configuration, .adminQueueAttributes, .adminSubmissionQueue,
      .adminCompletionQueue,
    ] { registers[register] = 0 }
    disable()
    status.subsystemResetOccurred = true
  }

  /// Something is wrong that only a reset can mend.
  func fail(_ reason: String) {
    guard !status.isFatal else { return }
    status.isFatal = true
    function.logger.error("nvme: fatal: \(reason)")
  }

  /// Keep Alive: the driver was silent for longer than it said.
  func keepAliveExpired() {
    guard case .enabled = state else { return }
    isAbandoned = true
    queues.pause {}
    admin?.noteSilence()
    fail("the driver sent no Keep Alive in time")
  }

  // MARK: Rest

  /// The registers have their values after power-on; nothing is in flight.
  func reset() {
    epoch += 1
    state = .disabled
    interruptMask = 0
    admin?.reset()
    queues.disable {}
    queues.interruptMask = 0
  }

  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    // An unmap waits for the transfers of its own range, which hold leases.
    if case .memoryUnmap = reason { return .done }
    isQuiet = true
    var isDone = false
    var isAnswered = false
    queues.pause {
      isDone = true
      if isAnswered { completion.done() }
    }
    isAnswered = true
    return isDone ? .done : .notYet
  }

  func resume() {
    guard isQuiet else { return }
    isQuiet = false
    // It could not tell meanwhile.
    admin?.keepAlive.restart()
    resumeQueues()
  }

  /// Lets commands be fetched again where nothing speaks against it.
  private func resumeQueues() {
    // After a shutdown commands wait for the next enable, and what is being disabled ends untold.
    guard case .enabled = state, !isQuiet, !isAbandoned, quietCount == 0,
      status.shutdown == ControllerStatus.Shutdown.none
    else { return }
    queues.resume()
  }

  /// Fetches nothing while `body` works; it calls `done` when it has ended.
  func whileQuiet(_ body: @escaping (_ done: @escaping () -> Void) -> Void) {
    quietCount += 1
    queues.pause { [weak self] in
      body {
        guard let self else { return }
        self.quietCount -= 1
        self.resumeQueues()
      }
    }
  }
}
