import VFIOUser

/// A part of a window at work: what its accesses lead to, and how many there were.
///
/// Threads: any.
final class WindowPart: Sendable {
  let part: RegionPart
  let counters = MechanismCounters()
  private let region: any DeviceRegion
  /// Who answers a part that is the monitor's, and where the part begins for it.
  private let handler: (any GuestAccessHandler)?
  private let handlerOffset: UInt64

  init(
    _ part: RegionPart, _ region: any DeviceRegion, handler: (any GuestAccessHandler)? = nil,
    handlerOffset: UInt64 = 0
  ) {
    self.part = part
    self.region = region
    self.handler = handler
    self.handlerOffset = handlerOffset
  }

  /// The mechanism of the part's port.
  var portMechanism: AccessMechanism {
    if case .mailbox = part.path { .mailbox } else { .ioregionfd }
  }

  /// Whether an access that comes to the part itself has a reply of the device's.
  var isAnswered: Bool {
    switch part.path {
    case .message, .ioregionfd, .mailbox: true
    case .mapped, .postedMessage, .monitor: false
    }
  }

  /// Waits while the device is away, but not for long.
  func waitWhileAway() { region.waitWhileAway(atMost: AddressSpace.moment) }

  /// Whether a read over the part's port may be made again; its offset counts from the part's start.
  func isRepeatable(atPortOffset offset: UInt64, byteCount: Int) -> Bool {
    region.isRepeatable(
      at: RegionOffset(part.offset.rawValue + offset), byteCount: byteCount)
  }

  /// Carries an access out that came to the part itself, that is, not over its port.
  ///
  /// - Parameter offset: in the region; the access lies inside the part.
  /// - Throws: `away` when it has to be made again.
  func access(
    at offset: UInt64, byteCount: Int, value: UInt64?
  ) throws(ClientError) -> UInt64 {
    switch part.path {
    case .monitor:
      counters.note(.monitor)
      let offset = offset - part.offset.rawValue + handlerOffset
      guard let handler else { return value == nil ? .max : 0 }
      guard let result = handler.access(at: offset, byteCount: byteCount, value: value) else {
        throw .away
      }
      return result
    case .mapped:
      guard let memory = part.memory else { break }
      if value != nil, !region.info.flags.contains(.write) { break }
      counters.note(.mapped)
      let position = Int(offset - part.offset.rawValue + part.memoryOffset)
      do { return try memory.access(at: position, byteCount: byteCount, value: value) } catch {
        throw ClientError(.memoryLost, error, "the server took mapped memory away")
      }
    case .postedMessage:
      guard let value else { break }
      counters.note(.postedMessage)
      try region.postWord(value, at: RegionOffset(offset), byteCount: byteCount)
      return 0
    // The port is served by whoever has the range; when it has none any more, messages remain.
    case .message, .ioregionfd, .mailbox: break
    }
    counters.note(.message)
    guard let value else {
      return try region.readWord(at: RegionOffset(offset), byteCount: byteCount)
    }
    try region.writeWord(value, at: RegionOffset(offset), byteCount: byteCount)
    return 0
  }
}

extension SharedMemory {
  /// Reads 1 to 8 bytes, or writes them where there is a value.
  func access(at offset: Int, byteCount: Int, value: UInt64?) throws(Errno) -> UInt64 {
    guard let value else { return try readWord(at: offset, byteCount: byteCount) }
    try writeWord(value, at: offset, byteCount: byteCount)
    return 0
  }
}
