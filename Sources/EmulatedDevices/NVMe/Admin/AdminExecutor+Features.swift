import DeviceModel
import NVMe

// Source: NVMe 1.4, sections 5.8 and 5.21.

extension AdminExecutor {
  func setFeatures(_ request: NVMeRequest) {
    let entry = request.entry
    let value = entry.dword11
    // Nothing is kept over power cycles.
    guard entry.dword10 >> 31 == 0 else { return refuse(request, .featureNotSaveable, at: 43) }
    switch FeatureIdentifier(rawValue: UInt8(truncatingIfNeeded: entry.dword10)) {
    case .arbitration: features.arbitration = value
    case .powerManagement:
      // One power state.
      guard value & 0x1f == 0 else { return refuse(request, .invalidField, at: 44) }
      features.powerManagement = value & 0xff
    case .temperatureThreshold: return setTemperatureThreshold(request, value)
    case .errorRecovery: features.errorRecovery = value & 0xffff
    case .volatileWriteCache: features.volatileWriteCache = value & 1
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
    default: return refuse(request, .invalidField, at: 40)
    }
    request.complete(.success)
  }

  private func setQueueCount(_ request: NVMeRequest, _ value: UInt32) {
    guard value & 0xffff != 0xffff, value >> 16 != 0xffff else {
      return refuse(request, .invalidField, at: 44)
    }
    guard queues.submissionQueueCount == 0 else {
      return refuse(request, .commandSequenceError, at: 40)
    }
    request.complete(.success, result: queueCounts)
  }

  /// How many queues there can be of each kind, minus one; always all of them.
  private var queueCounts: UInt32 {
    let count = UInt32(controller.settings.queueCount - 1)
    return count | count << 16
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

  func getFeatures(_ request: NVMeRequest) {
    let entry = request.entry
    let identifier = FeatureIdentifier(rawValue: UInt8(truncatingIfNeeded: entry.dword10))
    let select = entry.dword10 >> 8 & 7
    guard select <= 3 else { return refuse(request, .invalidField, at: 41) }
    guard Self.known.contains(identifier) else { return refuse(request, .invalidField, at: 40) }
    if select == 3 {
      // Capabilities: changeable, neither saveable nor of a namespace.
      return request.complete(.success, result: 1 << 2)
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
    case .errorRecovery: request.complete(.success, result: source.errorRecovery)
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

  private static let known: Set<FeatureIdentifier> = [
    .arbitration, .powerManagement, .temperatureThreshold, .errorRecovery, .volatileWriteCache,
    .queueCount, .interruptCoalescing, .interruptVectorConfiguration, .writeAtomicity,
    .asynchronousEventConfiguration, .timestamp,
  ]
}
