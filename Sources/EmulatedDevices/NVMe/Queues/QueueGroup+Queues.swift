import DeviceModel
import NVMe

// Queues come and go, and rest.

extension QueueGroup {
  // MARK: Rest

  /// Fetches nothing until ``resume()``; `completion` runs when nothing is in flight any more.
  func pause(_ completion: @escaping () -> Void) {
    isRunning = false
    whenIdle.append(completion)
    if inFlight == 0 { tellIdle() }
  }

  func tellIdle() {
    let actions = whenIdle
    whenIdle = []
    rest()
    for action in actions { action() }
  }

  /// Commands in the background may end still; the driver learns of it once there is work again.
  private func rest() {
    guard !isRunning else { return }
    isAtRest = true
    for queue in completionQueues { queue.hold() }
  }

  /// Goes on after ``pause(_:)``.
  func resume() {
    isRunning = true
    isDropping = false
    isAtRest = false
    wantsHeads.store(true, ordering: .relaxed)
    ring()
  }

  /// Ends the commands of all queues without telling, and forgets the queues.
  func removeAll(_ completion: @escaping () -> Void) {
    isDropping = true
    for queue in submissionQueues { queue.isStopped = true }
    pause { [self] in
      for queue in completionQueues { queue.close() }
      for queue in submissionQueues { dropSpare(of: queue) }
      submissionQueues = []
      completionQueues = []
      unsignalled = []
      hasUnsignalled = false
      shadow = nil
      wantsHeads.store(false, ordering: .relaxed)
      isRunning = true
      isDropping = false
      isAtRest = false
      completion()
    }
  }

  // MARK: Queues

  func add(_ queue: CompletionQueue) {
    // What an earlier queue of that number left there is wiped out.
    if queue.identifier != 0, let shadow { queue.use(shadow) }
    completionQueues.append(queue)
  }

  func add(_ queue: SubmissionQueue) {
    if queue.identifier != 0, let shadow { queue.use(shadow) }
    submissionQueues.append(queue)
    ring()
  }

  func completionQueue(_ identifier: UInt16) -> CompletionQueue? {
    completionQueues.first { $0.identifier == identifier }
  }

  /// Stops a queue and calls `completion` once none of its commands is in flight.
  func removeSubmissionQueue(_ identifier: UInt16, _ completion: @escaping () -> Void) {
    guard let index = submissionQueues.firstIndex(where: { $0.identifier == identifier }) else {
      return completion()
    }
    let queue = submissionQueues.remove(at: index)
    queue.isStopped = true
    dropSpare(of: queue)
    let action = {
      queue.completionQueue.forget(queue)
      completion()
    }
    if queue.inFlight == 0 { action() } else { queue.whenEmpty = action }
  }

  func removeCompletionQueue(_ identifier: UInt16) {
    guard let index = completionQueues.firstIndex(where: { $0.identifier == identifier }) else {
      return
    }
    completionQueues.remove(at: index).close()
    reports.pinChange?()
  }

  /// Looks for the doorbells of I/O queues in the driver's memory from now on.
  func setShadow(_ buffers: ShadowDoorbellBuffers) {
    shadow = ShadowDoorbells(engine, buffers)
    guard let shadow else { return }
    for queue in submissionQueues where queue.identifier != 0 {
      readTail(queue)
      queue.use(shadow)
    }
    for queue in completionQueues where queue.identifier != 0 {
      _ = queue.takeHead()
      queue.use(shadow)
    }
    ring()
  }

  /// Sets how the interrupts of a vector, or of all, are held back.
  func setCoalescing(_ change: (_ vector: Int) -> InterruptCoalescing) {
    for queue in completionQueues {
      if let vector = queue.vector { queue.coalescing = change(vector) }
    }
  }

  /// Whether the driver has something to read in a queue that interrupts by this vector.
  func hasUnread(_ vector: Int) -> Bool {
    completionQueues.contains { queue in
      guard queue.vector == vector else { return false }
      _ = queue.takeHead()
      return queue.hasUnread
    }
  }
}
