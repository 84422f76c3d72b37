// Interrupts: which there are, how they are delivered, masking.
extension DeviceClient {
  /// What the server says about an interrupt type.
  ///
  /// - Throws: `rejected` when the device has no such type, `invalidArgument` for an index below
  ///   zero or beyond 32 bits, else as every call (see ``DeviceClient``).
  public func interruptInfo(index: Int) throws(ClientError) -> IRQInfo {
    let request = IRQInfoRequest(index: try index32(index))
    return try call(.deviceGetIRQInfo, request) { payload, _ throws(WireError) in
      let info = try IRQInfo(decoding: payload)
      guard info.index == request.index else {
        throw WireError(.badCount, "a reply is for another interrupt type")
      }
      return info
    }
  }

  /// Has interrupts delivered through eventfds that are made here.
  ///
  /// - Parameters:
  ///   - index: the interrupt type (PCI: 0 INTx, 1 MSI, 2 MSI-X, 3 error, 4 request).
  ///   - start: the first interrupt.
  ///   - count: how many: 1 to 65,536.
  /// - Returns: one object for each interrupt, in order.
  /// - Throws: `invalidArgument` for another count or a number below zero, `systemCall` (EMFILE,
  ///   ENFILE) when no eventfd can be had, `rejected` when the device has not these interrupts or
  ///   does not deliver them through eventfds, else as every call. Where several messages are
  ///   needed, those before the one that failed have taken effect.
  public func enableInterrupts(
    index: Int, start: Int = 0, count: Int
  ) throws(ClientError) -> [ClientInterrupt] {
    try assignEvents(index: index, start: start, count: count, action: .trigger)
  }

  /// Assigns eventfds that are made here and that *unmask* interrupts when they are signalled: for
  /// level-triggered interrupts, which mask themselves.
  ///
  /// - Throws: as ``enableInterrupts(index:start:count:)``; `rejected` also for a type that cannot
  ///   be masked.
  public func enableResample(
    index: Int, start: Int = 0, count: Int = 1
  ) throws(ClientError) -> [ClientInterrupt] {
    try assignEvents(index: index, start: start, count: count, action: .unmask)
  }

  private func assignEvents(
    index: Int, start: Int, count: Int, action: SetIRQs.Action
  ) throws(ClientError) -> [ClientInterrupt] {
    let interrupts = try ClientInterrupt.make(start: start, count: count)
    try assignInterrupts(
      index: index, start: start, descriptors: interrupts.map(\.rawDescriptor), action: action)
    return interrupts
  }

  /// Assigns eventfds of the caller's to interrupts, such as KVM's irqfds.
  ///
  /// They go out in as many messages as the server's limit of descriptors asks for.
  /// - Parameters:
  ///   - descriptors: lent for the call; one for each interrupt from `start` on.
  ///   - action: what the eventfds are for. `trigger`: the server signals them to deliver the
  ///     interrupts. `unmask`: for interrupts that mask themselves (the pin), the server unmasks
  ///     when one is signalled (*resampling*); for others it signals them when the device's side
  ///     unmasks the interrupt. `mask`: it signals them when the device's side masks it.
  /// - Throws: `rejected` when the device has not these interrupts, a descriptor is no eventfd, or
  ///   the type does not have this action, `invalidArgument` for numbers below zero or beyond 32
  ///   bits, `disconnected` (EBADF), which ends the connection, for a descriptor that is not open,
  ///   else as every call. Where several messages are needed, those before the one that failed have
  ///   taken effect.
  public func assignInterrupts(
    index: Int, start: Int = 0, descriptors: [CInt], action: SetIRQs.Action = .trigger
  ) throws(ClientError) {
    let limit = Int(clamping: min(253, max(1, capabilities.effectiveMessageDescriptorCount)))
    var sent = 0
    while sent < descriptors.count {
      let part = Array(descriptors[sent..<min(sent + limit, descriptors.count)])
      try setInterrupts(
        index, start + sent, part.count, action, .eventfds, descriptors: part)
      sent += part.count
    }
  }

  /// Takes the eventfds of a range of interrupts away.
  ///
  /// - Parameter action: which of them; see
  ///   ``assignInterrupts(index:start:descriptors:action:)``.
  /// - Throws: `rejected` when the device has not these interrupts, or for a count of zero,
  ///   `invalidArgument` for numbers below zero or beyond 32 bits, else as every call.
  public func releaseInterrupts(
    index: Int, start: Int = 0, count: Int, action: SetIRQs.Action = .trigger
  ) throws(ClientError) {
    try setInterrupts(index, start, count, action, .eventfds)
  }

  /// Disables every interrupt of a type: their eventfds are taken away and their masks removed.
  ///
  /// - Throws: as ``interruptInfo(index:)``.
  public func disableInterrupts(index: Int) throws(ClientError) {
    try setInterrupts(index, 0, 0, .trigger, .all)
  }

  /// Masks interrupts: all of the range, or those whose flag is true.
  ///
  /// - Parameter flags: one for each interrupt of the range; nil for all.
  /// - Throws: `rejected` when the device has not these interrupts, cannot mask them, or for a
  ///   count of zero, `invalidArgument` for numbers below zero or beyond 32 bits, or when there is
  ///   not one flag for each interrupt, else as every call.
  public func maskInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try setInterrupts(index, start, count, .mask, selection(flags))
  }

  /// Unmasks interrupts: all of the range, or those whose flag is true.
  ///
  /// - Throws: as ``maskInterrupts(index:start:count:where:)``.
  public func unmaskInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try setInterrupts(index, start, count, .unmask, selection(flags))
  }

  /// Has the server trigger interrupts: all of the range, or those whose flag is true.
  ///
  /// From the first interrupt on and without flags, a count of zero disables the whole type, as
  /// ``disableInterrupts(index:)`` does.
  ///
  /// - Throws: as ``maskInterrupts(index:start:count:where:)``; the type need not be maskable.
  public func triggerInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try setInterrupts(index, start, count, .trigger, selection(flags))
  }

  private func selection(_ flags: [Bool]?) -> SetIRQs.Selection {
    flags.map { .flagged($0.map { $0 ? 1 : 0 }) } ?? .all
  }

  private func setInterrupts(
    _ index: Int, _ start: Int, _ count: Int, _ action: SetIRQs.Action,
    _ selection: SetIRQs.Selection, descriptors: [CInt] = []
  ) throws(ClientError) {
    if case .flagged(let flags) = selection, flags.count != count {
      throw ClientError(.invalidArgument, .invalidArgument, "not one flag for each interrupt")
    }
    let request = SetIRQs(
      action: action, selection: selection, index: try index32(index), start: try index32(start),
      count: try index32(count))
    try call(.deviceSetIRQs, request, descriptors: descriptors) { _, _ throws(WireError) in }
  }

  /// An index as the wire has it.
  func index32(_ index: Int) throws(ClientError) -> UInt32 {
    guard let value = UInt32(exactly: index) else {
      throw ClientError(.invalidArgument, .invalidArgument, "no such index")
    }
    return value
  }
}
