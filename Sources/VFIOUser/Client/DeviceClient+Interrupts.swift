// Interrupts: which there are, how they are delivered, masking.
extension DeviceClient {
  /// What the server says about an interrupt type.
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
  ///   - count: how many.
  /// - Returns: one object for each interrupt, in order.
  public func enableInterrupts(
    index: Int, start: Int = 0, count: Int
  ) throws(ClientError) -> [ClientInterrupt] {
    try assignEvents(index: index, start: start, count: count, action: .trigger)
  }

  /// Assigns eventfds that are made here and that *unmask* interrupts when they are signalled: for
  /// level-triggered interrupts, which mask themselves.
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
  ///   - action: `trigger` for delivery, `unmask` for resampling, `mask` for neither's opposite.
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
  public func releaseInterrupts(
    index: Int, start: Int = 0, count: Int, action: SetIRQs.Action = .trigger
  ) throws(ClientError) {
    try setInterrupts(index, start, count, action, .eventfds)
  }

  /// Disables every interrupt of a type.
  public func disableInterrupts(index: Int) throws(ClientError) {
    try setInterrupts(index, 0, 0, .trigger, .all)
  }

  /// Masks interrupts: all of the range, or those whose flag is true.
  public func maskInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try setInterrupts(index, start, count, .mask, selection(flags))
  }

  /// Unmasks interrupts: all of the range, or those whose flag is true.
  public func unmaskInterrupts(
    index: Int, start: Int = 0, count: Int = 1, where flags: [Bool]? = nil
  ) throws(ClientError) {
    try setInterrupts(index, start, count, .unmask, selection(flags))
  }

  /// Has the server trigger interrupts: all of the range, or those whose flag is true.
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
