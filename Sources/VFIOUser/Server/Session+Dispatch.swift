extension Session {
  /// Answers one command.
  ///
  /// The two register accesses come first: they are nearly all that a running device sees.
  @inline(__always)
  func dispatch(
    _ header: MessageHeader, _ payload: RawSpan, _ descriptors: inout ReceivedDescriptors
  ) {
    do throws(Refusal) {
      guard descriptors.areComplete else { throw Refusal(.invalidArgument) }
      if isNegotiated, descriptors.isEmpty {
        switch header.command {
        case .regionRead: return try regionRead(header, payload)
        case .regionWrite: return try regionWrite(header, payload)
        default: break
        }
      }
      try dispatchControl(header, payload, &descriptors)
    } catch {
      if let context = error.context {
        logger.debug("\(header.command) refused: \(context)")
      }
      refuse(header, error.errno)
      // Nothing can follow a negotiation that failed.
      if !isNegotiated { finish(.protocolError(error.context ?? "VERSION was refused")) }
    }
  }

  /// Answers a command that is not a single register access.
  private func dispatchControl(
    _ header: MessageHeader, _ payload: RawSpan, _ descriptors: inout ReceivedDescriptors
  ) throws(Refusal) {
    guard isNegotiated || header.command == .version else {
      throw Refusal(.invalidArgument, "the first command is not VERSION")
    }
    guard descriptors.isEmpty || header.command.takesDescriptors else {
      throw Refusal(.invalidArgument, "descriptors on a command that takes none")
    }
    guard descriptors.count <= descriptorLimit else {
      throw Refusal(.invalidArgument, "more descriptors than max_msg_fds")
    }
    switch header.command {
    case .version: try negotiate(header, payload)
    case .dmaMap: try dmaMap(header, payload, &descriptors)
    case .dmaUnmap: try dmaUnmap(header, payload)
    case .deviceGetInfo: try deviceInfo(header, payload)
    case .deviceGetRegionInfo: try regionInfo(header, payload)
    case .deviceGetRegionIODescriptors: try regionIODescriptors(header, payload)
    case .deviceGetIRQInfo: try irqInfo(header, payload)
    case .deviceSetIRQs: try setIRQs(header, payload, &descriptors)
    case .regionRead: try regionRead(header, payload)
    case .regionWrite: try regionWrite(header, payload)
    case .regionWriteMulti: try regionWriteMulti(header, payload)
    case .deviceReset: try deviceReset(header, payload)
    case .deviceFeature: try deviceFeature(payload)
    case .dmaRead, .dmaWrite:
      throw Refusal(.invalidArgument, "a command of the other direction")
    default:
      throw Refusal(.notSupported, "a command that is not served")
    }
  }
}

extension Command {
  /// Whether a client may send descriptors with it.
  ///
  /// DMA_UNMAP takes none by the specification, but a common client sends the one of the map again:
  /// it is accepted and closed.
  fileprivate var takesDescriptors: Bool {
    switch self {
    case .dmaMap, .dmaUnmap, .deviceSetIRQs: true
    default: false
    }
  }
}

/// Why a command gets an error reply.
struct Refusal: Error {
  let errno: Errno
  /// For the log.
  let context: StaticString?

  init(_ errno: Errno, _ context: StaticString? = nil) {
    self.errno = errno
    self.context = context
  }

  init(_ error: WireError) {
    errno = error.errno
    context = error.context
  }
}

/// Runs `body` and turns its decoding error into a refusal.
@inline(__always)
func decoding<Value>(_ body: () throws(WireError) -> Value) throws(Refusal) -> Value {
  do throws(WireError) { return try body() } catch { throw Refusal(error) }
}

/// Runs `body` and turns its system error into a refusal.
@inline(__always)
func refusing<Value>(_ body: () throws(Errno) -> Value) throws(Refusal) -> Value {
  do throws(Errno) { return try body() } catch { throw Refusal(error) }
}
