import DeviceModel
import NVMe

// Source: NVMe 1.4, sections 5.8 and 5.21.

extension AdminExecutor {
  func setFeatures(_ request: NVMeRequest) {
    let entry = request.entry
    let value = entry.dword11
    // Nothing is kept over power cycles.
    guard entry.dword10 >> 31 == 0 else { return refuse(request, .featureNotSaveable, at: 43) }
    let identifier = FeatureIdentifier(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    guard isOffered(identifier) else { return refuse(request, .invalidField, at: 40) }
    // Error recovery alone is a namespace's.
    if entry.namespaceIdentifier != 0, entry.namespaceIdentifier != NamespaceTable.broadcast {
      guard namespaces[entry.namespaceIdentifier] != nil else {
        return refuse(request, .invalidNamespaceOrFormat, at: 4)
      }
      guard identifier == .errorRecovery else {
        return refuse(request, .featureNotNamespaceSpecific, at: 4)
      }
    }
    switch identifier {
    case .arbitration: features.arbitration = value
    case .powerManagement:
      // One power state.
      guard value & 0x1f == 0 else { return refuse(request, .invalidField, at: 44) }
      features.powerManagement = value & 0xff
    case .temperatureThreshold: return setTemperatureThreshold(request, value)
    case .errorRecovery: setErrorRecovery(entry.namespaceIdentifier, value & 0xffff)
    case .volatileWriteCache: return setVolatileWriteCache(request, value & 1)
    case .queueCount: return setQueueCount(request, value)
    case .interruptCoalescing:
      features.interruptCoalescing = value & 0xffff
      queues.setCoalescing(
        threshold: UInt8(truncatingIfNeeded: value),
        hundredMicroseconds: UInt8(truncatingIfNeeded: value >> 8))
    case .interruptVectorConfiguration:
      let vector = UInt16(truncatingIfNeeded: value)
      guard Int(vector) <= controller.settings.queueCount else {
        return refuse(request, .invalidField, at: 44)
      }
      let isDisabled = value & 1 << 16 != 0
      if isDisabled {
        features.undelayedVectors.insert(vector)
      } else {
        features.undelayedVectors.remove(vector)
      }
      queues.setCoalescingDisabled(isDisabled, vector: Int(vector))
    case .writeAtomicity: features.writeAtomicity = value & 1
    case .asynchronousEventConfiguration: features.asynchronousEvents = value
    case .timestamp: return setTimestamp(request)
    case .keepAliveTimer: keepAlive.set(value)
    case .hostBehaviorSupport: return setHostBehavior(request)
    default: return refuse(request, .invalidField, at: 40)
    }
    request.complete(.success)
  }

  /// Error Recovery: of one namespace, or of all.
  private func setErrorRecovery(_ namespace: UInt32, _ value: UInt32) {
    guard namespaces[namespace] == nil else {
      return features.errorRecovery[namespace] = value
    }
    for namespace in namespaces.all { features.errorRecovery[namespace.identifier] = value }
  }

  private func setQueueCount(_ request: NVMeRequest, _ value: UInt32) {
    guard value & 0xffff != 0xffff, value >> 16 != 0xffff else {
      return refuse(request, .invalidField, at: 44)
    }
    guard !queues.hasIOQueues else {
      return refuse(request, .commandSequenceError, at: 40)
    }
    request.complete(.success, result: queueCounts)
  }

  /// How many queues there can be of each kind, minus one; always all of them.
  private var queueCounts: UInt32 {
    let count = UInt32(controller.settings.queueCount - 1)
    return count | count << 16
  }

  /// Volatile Write Cache: without it every write is on its medium before it ends.
  private func setVolatileWriteCache(_ request: NVMeRequest, _ value: UInt32) {
    features.volatileWriteCache = value
    request.moveToBackground()
    background[ObjectIdentifier(request)] = request
    let executor = request.group.executor
    let expected = epoch
    queues.setWritesThrough(value == 0) { [weak self] in
      guard let self, epoch == expected else { return }
      // What was kept back until now is written first.
      let steps = namespaces.all.filter { value == 0 && !$0.isReadOnly }.map {
        NamespaceWork.Step(namespace: $0, operation: .flush)
      }
      NamespaceWork(steps, by: executor) { [weak self] error in
        guard let self, epoch == expected,
          background.removeValue(forKey: ObjectIdentifier(request)) != nil
        else { return }
        request.complete(error == nil ? .success : .internalError)
      }
    }
  }

  private func setTemperatureThreshold(_ request: NVMeRequest, _ value: UInt32) {
    let sensor = value >> 16 & 0xf
    let kind = value >> 20 & 3
    guard sensor == 0 || sensor == 0xf, kind <= 1 else {
      return refuse(request, .invalidField, at: 44)
    }
    let threshold = UInt16(truncatingIfNeeded: value)
    if kind == 0 {
      features.overTemperature = threshold
    } else {
      features.underTemperature = threshold
    }
    request.complete(.success)
    // Composite temperature beyond a threshold: a critical warning that may be asked for.
    if hasTemperatureWarning, features.asynchronousEvents & 2 != 0 {
      events.report(.init(kind: .health, information: 1, page: .health))
    }
  }

  /// Whether the temperature is beyond a threshold.
  var hasTemperatureWarning: Bool {
    ControllerFeatures.temperature >= features.overTemperature
      || ControllerFeatures.temperature <= features.underTemperature
  }

  private func setTimestamp(_ request: NVMeRequest) {
    guard let words = request.group.executor.loadParameters(request, byteCount: 8) else { return }
    features.timestamp = words[0] & 0xffff_ffff_ffff
    features.timestampSetAt = MonotonicTime.now.nanoseconds
    features.timestampOrigin = 1
    request.complete(.success)
  }

  private static let hostBehaviorByteCount = 512

  private func setHostBehavior(_ request: NVMeRequest) {
    guard
      let words = request.group.executor.loadParameters(
        request, byteCount: Self.hostBehaviorByteCount)
    else { return }
    let retry = UInt8(truncatingIfNeeded: words[0])
    guard retry <= 1 else { return refuse(request, .invalidField, at: 24) }
    features.advancedCommandRetry = retry
    request.complete(.success)
  }

  func getFeatures(_ request: NVMeRequest) {
    let entry = request.entry
    let identifier = FeatureIdentifier(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let select = entry.dword10 >> 8 & 7
    guard select <= 3 else { return refuse(request, .invalidField, at: 41) }
    guard isOffered(identifier) else { return refuse(request, .invalidField, at: 40) }
    if select == 3 {
      // Capabilities: changeable, not saveable; one can be set through a namespace.
      return request.complete(.success, result: 1 << 2 | (identifier == .errorRecovery ? 2 : 0))
    }
    // Nothing is saved, so what was saved is the default.
    let source = select == 0 ? features : ControllerFeatures()
    switch identifier {
    case .arbitration: request.complete(.success, result: source.arbitration)
    case .powerManagement: request.complete(.success, result: source.powerManagement)
    case .temperatureThreshold:
      let sensor = entry.dword11 >> 16 & 0xf
      let kind = entry.dword11 >> 20 & 3
      guard sensor == 0, kind <= 1 else { return refuse(request, .invalidField, at: 44) }
      request.complete(
        .success,
        result: UInt32(kind == 0 ? source.overTemperature : source.underTemperature))
    case .errorRecovery:
      // There is no value of all namespaces. Drivers that name none (0) take what they get for that of
      // the controller: it is the first one's.
      let namespace = entry.namespaceIdentifier == 0 ? 1 : entry.namespaceIdentifier
      guard namespaces[namespace] != nil else {
        return refuse(request, .invalidNamespaceOrFormat, at: 4)
      }
      request.complete(.success, result: source.errorRecovery[namespace] ?? 0)
    case .volatileWriteCache: request.complete(.success, result: source.volatileWriteCache)
    case .queueCount: request.complete(.success, result: queueCounts)
    case .interruptCoalescing: request.complete(.success, result: source.interruptCoalescing)
    case .interruptVectorConfiguration:
      let vector = UInt16(truncatingIfNeeded: entry.dword11)
      guard Int(vector) <= controller.settings.queueCount else {
        return refuse(request, .invalidField, at: 44)
      }
      let isDisabled = source.undelayedVectors.contains(vector)
      request.complete(.success, result: UInt32(vector) | (isDisabled ? 1 << 16 : 0))
    case .writeAtomicity: request.complete(.success, result: source.writeAtomicity)
    case .asynchronousEventConfiguration:
      request.complete(.success, result: source.asynchronousEvents)
    case .timestamp: answer(request, timestamp(source))
    case .keepAliveTimer:
      request.complete(.success, result: select == 0 ? keepAlive.timeout : 0)
    case .hostBehaviorSupport:
      answer(
        request,
        [source.advancedCommandRetry]
          + [UInt8](repeating: 0, count: Self.hostBehaviorByteCount - 1))
    default: refuse(request, .invalidField, at: 40)
    }
  }

  private func timestamp(_ source: ControllerFeatures) -> [UInt8] {
    let elapsed = MonotonicTime.now.nanoseconds - source.timestampSetAt
    let milliseconds =
      source.timestampOrigin == 0
      ? (MonotonicTime.now.nanoseconds - start.nanoseconds) / 1_000_000
      : source.timestamp + elapsed / 1_000_000
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: milliseconds >> UInt64($0 * 8)) }
    bytes[6] = source.timestampOrigin << 1
    bytes[7] = 0
    return bytes
  }

  /// Whether the controller has the feature; a write cache is there with storages that have one.
  private func isOffered(_ identifier: FeatureIdentifier) -> Bool {
    identifier == .volatileWriteCache
      ? namespaces.haveVolatileCache : Self.known.contains(identifier)
  }

  private static let known: Set<FeatureIdentifier> = [
    .arbitration, .powerManagement, .temperatureThreshold, .errorRecovery, .queueCount,
    .interruptCoalescing, .interruptVectorConfiguration, .writeAtomicity,
    .asynchronousEventConfiguration, .timestamp, .keepAliveTimer, .hostBehaviorSupport,
  ]
}
