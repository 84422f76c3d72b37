import VFIOUser

/// One access to one register, as the effect closure of its block sees it.
///
/// The closure switches over ``RegisterMap/init(_:)`` of the effect. An access that covers several
/// registers arrives as several effects.
public struct RegisterEffect {
  /// The raw value of the register's case in its map.
  public let register: Int
  /// Which element of a register array, else 0.
  public let element: Int
  /// Whether this is a write.
  public let isWrite: Bool
  /// The bits of the register that the access covers; all of them unless the access is narrower.
  public let accessedMask: UInt64
  /// For a write the bits that were written, before the access rule, 0 outside ``accessedMask``; 0
  /// for a read.
  public let written: UInt64
  /// The register's value before the access.
  public let oldValue: UInt64
  /// The register's value: for a write what was just stored by the access rule, for a read what
  /// would be returned. A closure that changes it changes the register, and what a read returns.
  ///
  /// Assigning to the register through the block has the same effect; when both happen this wins.
  public var value: UInt64

  let access: AccessContext
  /// Whether this effect is the whole access, so that its reply can be deferred.
  let isWholeAccess: Bool
  /// The bits that a read returns.
  let readable: UInt64

  /// Whether the client waits for no reply; an error then reaches nobody.
  public var isPosted: Bool { access.isPosted }

  /// Answers the access later: the reply is sent when the returned value is completed.
  ///
  /// What the closure does to ``value`` still applies to the register at once, and so do read rules;
  /// the reply to a read is the value that it is completed with.
  ///
  /// - Returns: nil where the access cannot wait: it is posted, or covers more than this register.
  ///   Answer at once then.
  public func deferReply() -> DeferredRegisterReply? {
    guard isWholeAccess, let reply = access.deferReply() else { return nil }
    return DeferredRegisterReply(reply: reply, accessedMask: accessedMask, readable: readable)
  }
}
