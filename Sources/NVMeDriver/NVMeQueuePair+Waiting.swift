public import NVMe
import VFIOUser

// Waiting for commands, with an eye on the device: memory alone does not tell that it has gone.

extension NVMeQueuePair {
  /// Waits until a command ends, and adds all that have to `completions`.
  ///
  /// Sleeps until the device interrupts where the pair was made with an interrupt; else it looks again
  /// and again, yielding the processor.
  ///
  /// - Parameter timeout: how long at most.
  /// - Returns: how many there were; 0 when the time is over, or nothing is in flight.
  /// - Throws: as ``reap(into:)``; `connection` when the device is not there any more.
  @discardableResult
  public func reap(
    into completions: inout [NVMeCompletion], timeout: Duration
  ) throws(NVMeDriverError) -> Int {
    let deadline = MonotonicTime.now.advanced(by: timeout)
    var rounds = 0
    while true {
      let count = try reap(into: &completions)
      if count > 0 || inFlightCount == 0 { return count }
      if let interrupt, !answersMessages {
        let now = MonotonicTime.now
        guard now < deadline else { return 0 }
        if interrupt.wait(timeout: now.slice(until: deadline)) == nil {
          try checkConnection()
        }
        continue
      }
      rounds += 1
      guard rounds % 64 == 0 else {
        MemoryBarrier.pause()
        continue
      }
      MemoryBarrier.yield()
      guard rounds % 4096 == 0 else { continue }
      // A device that goes away may have ended commands before.
      do throws(NVMeDriverError) { try checkConnection() } catch {
        if try reap(into: &completions) > 0 { continue }
        throw error
      }
      guard MonotonicTime.now < deadline else { return 0 }
    }
  }

  /// Throws when the device is not there any more: memory alone does not tell.
  func checkConnection() throws(NVMeDriverError) {
    guard registers.client.isConnected else {
      throw NVMeDriverError(.connection, "the device's server has ended the connection")
    }
  }

  /// Carries out one command and waits for its end; nothing else may be in flight on the pair.
  ///
  /// - Parameters:
  ///   - entry: as for ``submit(_:tag:)``.
  ///   - data: memory that it moves; nil leaves the command's data pointer as it is.
  ///   - timeout: how long at most; as long again for a server that does not answer either.
  /// - Returns: how the command ended: whatever its status says is no error here.
  /// - Throws: `timedOut`, and the command is in flight then; `fatal` when the controller says so;
  ///   `invalidArgument` when something is in flight; as ``reap(into:timeout:)``.
  public func execute(
    _ entry: SubmissionQueueEntry, data: NVMeBuffer? = nil, timeout: Duration
  ) throws(NVMeDriverError) -> NVMeCompletion {
    guard isGone || inFlightCount == 0 else {
      throw NVMeDriverError(
        .invalidArgument,
        "queue \(identifier) has commands in flight: reap them, or reset the controller")
    }
    if let data { try submit(entry, data: data) } else { try submit(entry) }
    try ring()
    let deadline = MonotonicTime.now.advanced(by: timeout)
    var ended: [NVMeCompletion] = []
    while ended.isEmpty {
      let now = MonotonicTime.now
      guard now < deadline else {
        throw NVMeDriverError(.timedOut, "a command on queue \(identifier)")
      }
      try reap(into: &ended, timeout: now.slice(until: deadline))
      if ended.isEmpty { try checkStatus() }
    }
    return ended[0]
  }

  /// Throws when the controller has given up.
  private func checkStatus() throws(NVMeDriverError) {
    do throws(ClientError) {
      let value: UInt32 = try registers.read(at: RegionOffset(ControllerRegisterOffset.status))
      guard value == .max || ControllerStatus(rawValue: value).isFatal else { return }
    } catch {
      throw NVMeDriverError(error, "a command on queue \(identifier)")
    }
    throw NVMeDriverError(.fatal, "a command on queue \(identifier)")
  }
}

extension MonotonicTime {
  /// The time until `deadline`, but at most a tenth of a second: how long to wait before a look
  /// whether the device is still there.
  fileprivate func slice(until deadline: MonotonicTime) -> Duration {
    .nanoseconds(Int64(min(deadline.nanoseconds - nanoseconds, 100_000_000)))
  }
}
