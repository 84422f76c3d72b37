import Synchronization

/// How often each mechanism handled an access to a part.
///
/// Threads: any; a count is exact once the accesses have ended.
final class MechanismCounters: Sendable {
  private let message = Atomic<Int>(0)
  private let postedMessage = Atomic<Int>(0)
  private let mapped = Atomic<Int>(0)
  private let ioregionfd = Atomic<Int>(0)
  private let mailbox = Atomic<Int>(0)
  private let ioeventfd = Atomic<Int>(0)
  private let monitor = Atomic<Int>(0)

  @inline(__always)
  func note(_ mechanism: AccessMechanism) {
    switch mechanism {
    case .message: message.wrappingAdd(1, ordering: .relaxed)
    case .postedMessage: postedMessage.wrappingAdd(1, ordering: .relaxed)
    case .mapped: mapped.wrappingAdd(1, ordering: .relaxed)
    case .ioregionfd: ioregionfd.wrappingAdd(1, ordering: .relaxed)
    case .mailbox: mailbox.wrappingAdd(1, ordering: .relaxed)
    case .ioeventfd: ioeventfd.wrappingAdd(1, ordering: .relaxed)
    case .monitor: monitor.wrappingAdd(1, ordering: .relaxed)
    }
  }

  /// The counts that are not zero.
  var counts: [AccessMechanism: Int] {
    var counts: [AccessMechanism: Int] = [:]
    counts[.message] = message.load(ordering: .relaxed)
    counts[.postedMessage] = postedMessage.load(ordering: .relaxed)
    counts[.mapped] = mapped.load(ordering: .relaxed)
    counts[.ioregionfd] = ioregionfd.load(ordering: .relaxed)
    counts[.mailbox] = mailbox.load(ordering: .relaxed)
    counts[.ioeventfd] = ioeventfd.load(ordering: .relaxed)
    counts[.monitor] = monitor.load(ordering: .relaxed)
    return counts.filter { $0.value != 0 }
  }
}
