/// Brings a device to rest, one reason after the other, without ever blocking.
///
/// A fence waits for accesses in progress on other loops, asks the device to be quiet, waits for its
/// answer and for I/O in flight where the reason asks for it, and then runs its action. Each step is a
/// callback, so that the session goes on reading the replies that the device may be waiting for.
///
/// Threads: confined to the device's loop.
final class FenceQueue {
  private struct Fence {
    let reason: QuiesceReason
    let prepare: (@escaping () -> Void) -> Void
    let whenQuiet: () -> Void
    let action: () -> Void
    let after: () -> Void
  }

  private let device: any ServedDevice
  private let loop: EventLoop
  private let ledger: LeaseLedger
  private var waiting: [Fence] = []
  private var current: Fence?
  /// Numbers the step that is waited for, so that a late or second answer finds nothing.
  private var step: UInt64 = 0

  init(device: any ServedDevice, loop: EventLoop, ledger: LeaseLedger) {
    self.device = device
    self.loop = loop
    self.ledger = ledger
  }

  /// - Parameters:
  ///   - prepare: runs first, and calls what it is given once no access is in progress.
  ///   - whenQuiet: runs when the device is quiet, before I/O in flight is waited for.
  ///   - action: runs when nothing is in flight.
  ///   - after: runs last, when the device works again.
  func run(
    _ reason: QuiesceReason, prepare: @escaping (@escaping () -> Void) -> Void,
    whenQuiet: @escaping () -> Void, action: @escaping () -> Void, after: @escaping () -> Void
  ) {
    waiting.append(
      Fence(
        reason: reason, prepare: prepare, whenQuiet: whenQuiet, action: action, after: after))
    runNext()
  }

  private func runNext() {
    while current == nil, !waiting.isEmpty {
      let fence = waiting.removeFirst()
      current = fence
      step += 1
      let expected = step
      fence.prepare { [weak self] in self?.prepared(expected) }
    }
  }

  private func prepared(_ expected: UInt64) {
    guard let fence = current, step == expected else { return }
    step += 1
    let next = step
    let completion = QuiesceCompletion(finish: onLoop { [weak self] in self?.quieted(next) })
    switch device.quiesce(fence.reason, completion) {
    case .done:
      completion.disarm()
      quieted(next)
    case .notYet: break
    }
  }

  private func quieted(_ expected: UInt64) {
    guard let fence = current, step == expected else { return }
    step += 1
    fence.whenQuiet()
    guard fence.reason.waitsForAllMemory else { return finish() }
    let next = step
    drain([ledger]) { [weak self] in
      guard let self, self.step == next else { return }
      self.finish()
    }
  }

  private func finish() {
    guard let fence = current else { return }
    step += 1
    fence.action()
    device.resume()
    current = nil
    fence.after()
    runNext()
  }

  /// Calls `completion` on the loop once none of the ledgers counts anything.
  func drain(
    _ ledgers: [LeaseLedger], from start: Int = 0, completion: @escaping () -> Void
  ) {
    // Tens of thousands of grants end with a client: neither a recursion nor a copy for each.
    for index in start..<ledgers.count where !ledgers[index].isIdle {
      return ledgers[index].whenIdle(
        onLoop { [weak self] in self?.drain(ledgers, from: index, completion: completion) })
    }
    completion()
  }

  private func onLoop(_ body: @escaping () -> Void) -> @Sendable () -> Void {
    let confined = LoopConfined(body)
    let loop = loop
    return {
      if loop.isCurrent { confined.value() } else { loop.post { confined.value() } }
    }
  }
}

extension QuiesceReason {
  /// Whether all I/O has to end; an unmap waits for its own range alone.
  fileprivate var waitsForAllMemory: Bool {
    if case .memoryUnmap = self { false } else { true }
  }
}
