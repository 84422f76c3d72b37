import CVFIOUserLinux

// What a client asks before it uses the device.

extension Session {
  func negotiate(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    guard !isNegotiated else { throw Refusal(.invalidArgument, "VERSION was sent before") }
    let proposal = try decoding { () throws(WireError) in try VersionMessage(decoding: payload) }
    let reply = try decoding { () throws(WireError) in
      try Negotiation.serverReply(to: proposal, offering: host.options.capabilities)
    }
    capabilities = proposal.capabilities ?? Capabilities()
    dmaMessageLayout = host.options.dmaMessageLayout.resolved(for: proposal)
    capabilities.supportsWriteMultiple = reply.capabilities?.supportsWriteMultiple
    capabilities.extensions = reply.capabilities?.extensions
    if let limit = reply.capabilities?.maximumMessageDescriptorCount {
      descriptorLimit = Int(clamping: limit)
    }
    var descriptors: [CInt] = []
    var clientEnd: CInt = -1
    if reply.capabilities?.twinSocket?.isSupported == true {
      clientEnd = try openTwinSocket()
      descriptors = [clientEnd]
    }
    isNegotiated = true
    self.reply(to: header, reply, descriptors: descriptors)
    if clientEnd >= 0 { _ = OwnedDescriptor(adopting: clientEnd) }
    host.sessionNegotiated(self)
  }

  func deviceInfo(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    _ = try decoding { () throws(WireError) in try DeviceInfoRequest(decoding: payload) }
    let layout = host.layout
    reply(
      to: header,
      DeviceInfo(
        flags: layout.flags, regionCount: UInt32(layout.regions.count),
        interruptTypeCount: UInt32(layout.interrupts.count)))
  }

  func regionInfo(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    let request = try decoding { () throws(WireError) in try RegionInfoRequest(decoding: payload) }
    guard Int(request.index) < host.layout.regions.count else {
      throw Refusal(.invalidArgument, "no region of that index")
    }
    let layout = host.layout.regions[Int(request.index)]
    var information = RegionInfo(
      index: request.index, flags: layout.rights, byteCount: layout.byteCount,
      fileOffset: layout.mapping?.memoryOffset ?? 0, capabilities: [])
    if let type = layout.type { information.capabilities.append(.type(type)) }
    var descriptors: [CInt] = []
    if let mapping = layout.mapping, capabilities.effectiveMessageDescriptorCount > 0 {
      information.flags.insert(.mmap)
      if !mapping.areas.isEmpty { information.capabilities.append(.sparseMap(mapping.areas)) }
      // A client whose argsz was too small asks again: only the complete answer has a descriptor.
      if information.encodedByteCount <= Int(request.argumentSize) {
        descriptors = [mapping.memory.rawDescriptor]
      }
    }
    reply(
      to: header, Limited(information, limit: request.argumentSize), descriptors: descriptors)
  }

  func regionIODescriptors(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    let request = try decoding { () throws(WireError) in
      try RegionIODescriptorsRequest(decoding: payload)
    }
    guard Int(request.index) < host.layout.regions.count else {
      throw Refusal(.invalidArgument, "no region of that index")
    }
    // An answer that nobody reads is not worth a descriptor.
    guard header.wantsReply else { return }
    let answer = ports.describe(
      Int(request.index), byteLimit: request.argumentSize, capabilities)
    reply(
      to: header, Limited(answer.message, limit: request.argumentSize),
      descriptors: answer.descriptors)
    // The client has its descriptors now: ours close here, so that its hangup is seen.
    withExtendedLifetime(answer.owners) {}
  }

  func irqInfo(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    let request = try decoding { () throws(WireError) in try IRQInfoRequest(decoding: payload) }
    guard Int(request.index) < host.layout.interrupts.count else {
      throw Refusal(.invalidArgument, "no interrupt type of that index")
    }
    let layout = host.layout.interrupts[Int(request.index)]
    reply(
      to: header, IRQInfo(index: request.index, flags: layout.flags, count: UInt32(layout.count)))
  }

  func setIRQs(
    _ header: MessageHeader, _ payload: RawSpan, _ descriptors: inout ReceivedDescriptors
  ) throws(Refusal) {
    let request = try decoding { () throws(WireError) in try SetIRQs(decoding: payload) }
    guard Int(request.index) < host.services.interrupts.count else {
      throw Refusal(.invalidArgument, "no interrupt type of that index")
    }
    do throws(Errno) {
      try host.services.interrupts[Int(request.index)].apply(request, descriptors: &descriptors)
    } catch { throw Refusal(error) }
    if header.wantsReply { reply(.reply(to: header)) }
  }

  func deviceReset(_ header: MessageHeader, _ payload: RawSpan) throws(Refusal) {
    guard payload.byteCount == 0 else { throw Refusal(.invalidArgument, "DEVICE_RESET is empty") }
    guard host.layout.flags.contains(.reset) else {
      throw Refusal(.invalidArgument, "the device has no reset")
    }
    host.fence(.reset(.device)) { [weak self, host] in
      host.device.reset(.device)
      if header.wantsReply { self?.reply(.reply(to: header)) }
    }
  }

  /// No feature is served yet; an unknown one answers as Linux does.
  func deviceFeature(_ payload: RawSpan) throws(Refusal) {
    _ = try decoding { () throws(WireError) in try DeviceFeature(decoding: payload) }
    throw Refusal(Errno(rawValue: ENOTTY), "no such device feature")
  }
}

/// A reply that can be cut to what the client has room for.
private protocol LimitableMessage: WireMessage {
  func encodedByteCount(limit argumentSize: UInt32) -> Int
  func encode(
    into bytes: inout MutableRawSpan, at offset: Int, limit argumentSize: UInt32
  ) throws(WireError)
}

extension RegionInfo: LimitableMessage {}
extension RegionIODescriptors: LimitableMessage {}

/// A reply, cut to what the client has room for.
private struct Limited<Message: LimitableMessage>: WireMessage {
  static var command: Command { Message.command }
  let message: Message
  let limit: UInt32

  init(_ message: Message, limit: UInt32) {
    self.message = message
    self.limit = limit
  }

  init(decoding payload: RawSpan) throws(WireError) {
    message = try Message(decoding: payload)
    limit = .max
  }

  var encodedByteCount: Int { message.encodedByteCount(limit: limit) }

  func encode(into bytes: inout MutableRawSpan, at offset: Int) throws(WireError) {
    try message.encode(into: &bytes, at: offset, limit: limit)
  }
}
