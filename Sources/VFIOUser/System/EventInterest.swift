import CVFIOUserLinux

/// What a loop waits for on a descriptor, or found there.
public struct EventInterest: OptionSet, Sendable, Hashable {
  /// The flags as bits.
  public let rawValue: UInt32
  /// Makes a set from its bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Data can be read, or a connection accepted.
  public static let readable = EventInterest(rawValue: 1 << 0)
  /// Data can be written.
  public static let writable = EventInterest(rawValue: 1 << 1)
  /// The peer is gone or the descriptor failed. Reported without being asked for; where it is, also
  /// when the peer has only ended its own sending.
  public static let hangup = EventInterest(rawValue: 1 << 2)
  /// Data has become readable: reported once for each time that some arrives, read or not.
  static let readableOnce = EventInterest(rawValue: 1 << 3)

  var epollEvents: UInt32 {
    var events: UInt32 = 0
    if contains(.readable) { events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
    if contains(.readableOnce) { events |= EPOLLIN.rawValue | EPOLLET.rawValue }
    if contains(.writable) { events |= EPOLLOUT.rawValue }
    if contains(.hangup) { events |= EPOLLRDHUP.rawValue }
    return events
  }

  init(epollEvents events: UInt32) {
    self = []
    if events & EPOLLIN.rawValue != 0 { insert(.readable) }
    if events & EPOLLOUT.rawValue != 0 { insert(.writable) }
    if events & (EPOLLHUP.rawValue | EPOLLERR.rawValue | EPOLLRDHUP.rawValue) != 0 {
      insert(.hangup)
    }
  }
}
