import DeviceModel
import NVMe
import Synchronization

// What drivers ring, and how they are interrupted.

extension QueueSet {
  // MARK: Doorbells

  /// A driver has written a doorbell by an access; where the page is mapped it is found by looking.
  ///
  /// - Parameter offset: bytes from the first doorbell.
  func doorbellWritten(at offset: Int, _ value: UInt32) {
    let identifier = UInt16(truncatingIfNeeded: offset / 8)
    let isHead = offset & 4 != 0
    let found = isHead ? completionQueues[identifier] : submissionQueues[identifier]
    guard let queue = found else { return onDoorbellError?(.unknownQueue) ?? () }
    guard Int(value) < queue.entryCount else { return onDoorbellError?(.invalidValue) ?? () }
    try? doorbells.store32(value, at: offset)
    guard isHead else { return queue.group.ring() }
    // The head is stored before the look at whether anyone waits for it; see `willNeedHead`.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if queue.group.wantsHeads.load(ordering: .relaxed) { queue.group.ring() }
    updatePin()
  }

  /// A driver has rung a doorbell whose value is in its own memory.
  ///
  /// - Parameter offset: as for `doorbellWritten`.
  func doorbellSignalled(at offset: Int) {
    let identifier = UInt16(truncatingIfNeeded: offset / 8)
    let isHead = offset & 4 != 0
    // Late, from a queue that is gone.
    guard let queue = isHead ? completionQueues[identifier] : submissionQueues[identifier] else {
      return
    }
    guard shadow != nil, identifier != 0 else {
      guard !hasLostValue else { return }
      hasLostValue = true
      function.logger.error(
        "nvme: doorbell \(offset) came without its value: the client uses an eventfd that was taken back"
      )
      return
    }
    if isHead {
      guard queue.group.wantsHeads.load(ordering: .relaxed) else { return updatePin() }
    }
    queue.group.ring()
    if isHead { updatePin() }
  }

  /// Says how the doorbells wish to be reached now.
  func offerPaths() {
    guard let paths else { return }
    let isShadowed = shadow != nil
    let wishes = paths.paths(
      signalling: isShadowed ? submissionQueues.keys.filter { $0 != 0 } : [],
      isShadowed ? completionQueues.keys.filter { $0 != 0 } : [])
    guard wishes != offeredPaths else { return }
    offeredPaths = wishes
    do throws(PCIHardwareError) {
      try function.setPaths(of: NVMeHardware.doorbellsName, in: 0, wishes)
    } catch {
      function.logger.error("nvme: the doorbells have no descriptors: \(error)")
    }
  }

  /// Takes I/O doorbells from the driver's memory from now on.
  func setShadowDoorbells(_ buffers: ShadowDoorbellBuffers, _ done: @escaping () -> Void) {
    shadow = buffers
    offerPaths()
    function.logger.debug("nvme: shadow doorbells at \(buffers.values)")
    everywhere(
      { group, finished in
        group.setShadow(buffers)
        finished()
      }, done)
  }

  // MARK: Interrupts

  /// How long interrupts may be held back, for all vectors but those that are exempt.
  func setCoalescing(threshold: UInt8, hundredMicroseconds: UInt8) {
    coalescing.threshold = threshold
    coalescing.hundredMicroseconds = hundredMicroseconds
    publishCoalescing()
  }

  /// Whether the interrupts of a vector are never held back.
  func setCoalescingDisabled(_ isDisabled: Bool, vector: Int) {
    if isDisabled { undelayedVectors.insert(vector) } else { undelayedVectors.remove(vector) }
    publishCoalescing()
  }

  func coalescing(for vector: Int) -> InterruptCoalescing {
    var own = coalescing
    own.isDisabled = undelayedVectors.contains(vector)
    return own
  }

  private func publishCoalescing() {
    let common = coalescing
    let exempt = undelayedVectors
    for group in groups {
      Self.run(group) { group in
        group.setCoalescing { vector in
          var own = common
          own.isDisabled = exempt.contains(vector)
          return own
        }
      }
    }
  }

  /// Drives the pin: asserted while a queue has something unread, unless masked.
  ///
  /// With messages in use the line stays low, and the triggers of the queues do the work.
  func updatePin() {
    guard !function.usesMessageInterrupts, let home = groups.first else {
      if pin.isAsserted { pin.lower() }
      return
    }
    pin.set(interruptMask & 1 == 0 && home.hasUnread(0))
  }
}
