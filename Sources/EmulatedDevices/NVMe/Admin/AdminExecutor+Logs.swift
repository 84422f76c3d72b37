import DeviceModel
import NVMe

// Source: NVMe 1.4, section 5.14.

extension AdminExecutor {
  func getLogPage(_ request: NVMeRequest) {
    let entry = request.entry
    let dwords = UInt64(entry.dword10 >> 16) | UInt64(entry.dword11 & 0xffff) << 16
    let byteCount = (dwords + 1) * 4
    let offset = UInt64(entry.dword12) | UInt64(entry.dword13) << 32
    guard offset % 4 == 0 else { return refuse(request, .invalidField, at: 48) }
    let identifier = LogPageIdentifier(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let keepsEvent = entry.dword10 & 1 << 15 != 0
    switch identifier {
    case .errorInformation:
      finish(request, identifier, errors.page, offset, byteCount, keepsEvent)
    case .health:
      let namespace = entry.namespaceIdentifier
      guard namespace == 0 || namespace == NamespaceTable.broadcast else {
        return refuse(request, .invalidField, at: 4)
      }
      // The loops' own counts come together first.
      request.moveToBackground()
      background[ObjectIdentifier(request)] = request
      let expected = epoch
      queues.publishCounters { [weak self] in
        guard let self, epoch == expected,
          background.removeValue(forKey: ObjectIdentifier(request)) != nil
        else { return }
        finish(request, identifier, health().bytes, offset, byteCount, keepsEvent)
      }
    case .firmwareSlot:
      var log = FirmwareSlotLog()
      log.activeSlot = 1
      log.firstSlotRevision = ControllerSettings.firmwareRevision
      finish(request, identifier, log.bytes, offset, byteCount, keepsEvent)
    case .changedNamespaces:
      let told = changedNamespaces
      let page = Self.list(told.keys.sorted())
      guard finish(request, identifier, page, offset, byteCount, keepsEvent), !keepsEvent
      else { return }
      // A namespace may have changed again while the page went to the driver.
      changedNamespaces = changedNamespaces.filter { told[$0.key] != $0.value }
    case .commandEffects:
      finish(request, identifier, Self.effects.bytes, offset, byteCount, keepsEvent)
    default: refuse(request, .invalidLogPage, at: 40)
    }
  }

  /// Answers with a part of a page. Only a page that has arrived was read: its events may come again.
  ///
  /// - Returns: whether it has.
  @discardableResult
  private func finish(
    _ request: NVMeRequest, _ identifier: LogPageIdentifier, _ page: [UInt8], _ offset: UInt64,
    _ byteCount: UInt64, _ keepsEvent: Bool
  ) -> Bool {
    guard offset <= UInt64(page.count) else {
      refuse(request, .invalidField, at: 48)
      return false
    }
    guard byteCount <= UInt64(controller.settings.limits.transferByteCount) else {
      refuse(request, .invalidField, at: 42)
      return false
    }
    // What a driver asks for beyond the page is zeros.
    var bytes = [UInt8](page[Int(offset)...].prefix(Int(byteCount)))
    bytes += [UInt8](repeating: 0, count: Int(byteCount) - bytes.count)
    guard answer(request, bytes) else { return false }
    if !keepsEvent { events.pageRead(identifier) }
    return true
  }

  private func health() -> HealthLog {
    var log = HealthLog()
    if hasTemperatureWarning { log.criticalWarning |= 1 << 1 }
    if !namespaces.all.isEmpty, namespaces.all.allSatisfy(\.isReadOnly) {
      log.criticalWarning |= 1 << 3
    }
    log.temperature = ControllerFeatures.temperature
    log.availableSpare = 100
    log.availableSpareThreshold = 10
    let counters = namespaces.all.map(\.counters)
    log.dataUnitsRead = Self.dataUnits(counters.map(\.readByteCount))
    log.dataUnitsWritten = Self.dataUnits(counters.map(\.writtenByteCount))
    log.hostReadCommands = counters.map(\.readCount).reduce(0, &+)
    log.hostWriteCommands = counters.map(\.writeCount).reduce(0, &+)
    log.powerCycles = 1
    log.powerOnHours =
      (MonotonicTime.now.nanoseconds - start.nanoseconds) / 3_600_000_000_000
    log.mediaErrors = counters.map(\.mediaErrorCount).reduce(0, &+)
    log.errorLogEntries = errors.count
    return log
  }

  private static func dataUnits(_ byteCounts: [UInt64]) -> UInt64 {
    (byteCounts.reduce(0, &+) &+ 511_999) / 512_000
  }

  private static let effects: CommandEffectsLog = {
    var log = CommandEffectsLog()
    let admin: [AdminOpcode] = [
      .deleteSubmissionQueue, .createSubmissionQueue, .getLogPage, .deleteCompletionQueue,
      .createCompletionQueue, .identify, .abort, .setFeatures, .getFeatures,
      .asynchronousEventRequest, .keepAlive, .doorbellBufferConfig,
    ]
    for opcode in admin { log[opcode] = .supported }
    log[.formatNVM] = [.supported, .changesBlocks, .changesNamespace, .excludesOthers]
    for opcode: IOOpcode in [.flush, .read, .compare, .verify] { log[opcode] = .supported }
    for opcode: IOOpcode in [
      .write, .writeUncorrectable, .writeZeroes, .datasetManagement, .copy,
    ] {
      log[opcode] = [.supported, .changesBlocks]
    }
    return log
  }()
}
