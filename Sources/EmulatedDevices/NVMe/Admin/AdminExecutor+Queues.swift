import DeviceModel
import NVMe

// Source: NVMe 1.4, sections 5.3 to 5.6 and 5.7.

extension AdminExecutor {
  func createCompletionQueue(_ request: NVMeRequest) {
    let entry = request.entry
    let identifier = UInt16(truncatingIfNeeded: entry.dword10)
    let entryCount = Int(entry.dword10 >> 16) + 1
    guard isValid(identifier), !queues.hasCompletionQueue(identifier) else {
      return refuse(request, .invalidQueueIdentifier, at: 40)
    }
    guard entryCount >= 2, entryCount <= controller.maximumQueueEntryCount,
      controller.hasCompletionEntrySize
    else {
      return refuse(request, .invalidQueueSize, at: 42)
    }
    // CAP.CQR: queues are contiguous.
    guard entry.dword11 & 1 != 0 else { return refuse(request, .invalidField, at: 44) }
    guard let base = base(request, entryCount * CompletionQueueEntry.byteCount) else { return }
    let vector = Int(entry.dword11 >> 16)
    let interrupts = entry.dword11 & 2 != 0
    guard !interrupts || isValid(vector: vector) else {
      return refuse(request, .invalidInterruptVector, at: 46)
    }
    queues.createCompletionQueue(
      identifier, base: base, entryCount: entryCount, vector: interrupts ? vector : nil,
      ending(request))
  }

  func createSubmissionQueue(_ request: NVMeRequest) {
    let entry = request.entry
    let identifier = UInt16(truncatingIfNeeded: entry.dword10)
    let entryCount = Int(entry.dword10 >> 16) + 1
    let completionQueue = UInt16(truncatingIfNeeded: entry.dword11 >> 16)
    guard isValid(identifier), !queues.hasSubmissionQueue(identifier) else {
      return refuse(request, .invalidQueueIdentifier, at: 40)
    }
    guard entryCount >= 2, entryCount <= controller.maximumQueueEntryCount,
      controller.hasSubmissionEntrySize
    else {
      return refuse(request, .invalidQueueSize, at: 42)
    }
    guard completionQueue != 0, isValid(completionQueue) else {
      return refuse(request, .invalidQueueIdentifier, at: 46)
    }
    guard queues.hasCompletionQueue(completionQueue) else {
      return refuse(request, .invalidCompletionQueue, at: 46)
    }
    guard entry.dword11 & 1 != 0 else { return refuse(request, .invalidField, at: 44) }
    guard let base = base(request, entryCount * SubmissionQueueEntry.byteCount) else { return }
    queues.createSubmissionQueue(
      identifier, base: base, entryCount: entryCount, completionQueue: completionQueue,
      ending(request))
  }

  func deleteSubmissionQueue(_ request: NVMeRequest) {
    let identifier = UInt16(truncatingIfNeeded: request.entry.dword10)
    guard identifier != 0, queues.hasSubmissionQueue(identifier),
      !queues.isDeleting(submissionQueue: identifier)
    else {
      return refuse(request, .invalidQueueIdentifier, at: 40)
    }
    queues.deleteSubmissionQueue(identifier, ending(request))
  }

  func deleteCompletionQueue(_ request: NVMeRequest) {
    let identifier = UInt16(truncatingIfNeeded: request.entry.dword10)
    guard identifier != 0, queues.hasCompletionQueue(identifier) else {
      return refuse(request, .invalidQueueIdentifier, at: 40)
    }
    guard !queues.isInUse(completionQueue: identifier) else {
      return refuse(request, .invalidQueueDeletion, at: 40)
    }
    queues.deleteCompletionQueue(identifier, ending(request))
  }

  /// Doorbell Buffer Config: the driver keeps its doorbells in two pages of its own.
  func configureDoorbellBuffers(_ request: NVMeRequest) {
    let mask = UInt64(controller.pageByteCount - 1)
    let (values, indexes) = (request.entry.prp1, request.entry.prp2)
    guard values & mask == 0, values != 0 else {
      return refuse(request, .invalidField, at: 24)
    }
    guard indexes & mask == 0, indexes != 0 else {
      return refuse(request, .invalidField, at: 32)
    }
    queues.setShadowDoorbells(
      ShadowDoorbellBuffers(
        values: DMAAddress(values), eventIndexes: DMAAddress(indexes),
        byteCount: UInt64(controller.pageByteCount)),
      ending(request))
  }

  private func isValid(_ identifier: UInt16) -> Bool {
    identifier >= 1 && Int(identifier) <= controller.settings.queueCount
  }

  /// Whether there is such an interrupt: the pin is vector 0 alone.
  private func isValid(vector: Int) -> Bool {
    vector == 0
      || vector <= controller.settings.queueCount && function.usesMessageInterrupts
  }

  /// Where the driver has put the queue; nil when the command was ended for an error.
  private func base(_ request: NVMeRequest, _ byteCount: Int) -> DMAAddress? {
    let address = request.entry.prp1
    guard address & UInt64(controller.pageByteCount - 1) == 0, address != 0,
      DMARange(address: DMAAddress(address), byteCount: UInt64(byteCount)) != nil
    else {
      refuse(request, .invalidPRPOffset, at: 24)
      return nil
    }
    return DMAAddress(address)
  }

  /// Ends a command with success when the queues are as it asked, unless a reset came first.
  private func ending(_ request: NVMeRequest) -> () -> Void {
    // A reset that comes meanwhile drops the open request, and this one finds another epoch.
    request.moveToBackground()
    background[ObjectIdentifier(request)] = request
    let expected = epoch
    return { [weak self] in
      guard let self, epoch == expected,
        background.removeValue(forKey: ObjectIdentifier(request)) != nil
      else { return }
      request.complete(.success)
    }
  }
}
