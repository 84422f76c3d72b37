/// What a region handler may ask about the access that it answers.
public struct AccessContext {
  /// Makes the reply wait; nil where this access cannot wait.
  let deferral: (any AccessDeferral)?

  /// Whether the client waits for no reply (*No_reply*, or one write of several in one message).
  ///
  /// A posted access cannot be held back, and an error that it meets reaches nobody.
  public let isPosted: Bool

  init(deferral: (any AccessDeferral)?, isPosted: Bool) {
    self.deferral = deferral
    self.isPosted = isPosted
  }

  /// The context of an access that comes from no session: a device's own, or a test's.
  public static var immediate: AccessContext { AccessContext(deferral: nil, isPosted: false) }

  /// Takes the reply out of the handler's hands: it is sent when the returned value is completed.
  ///
  /// Until then the session starts no later command of this client, unless the range is declared
  /// concurrent; replies to the device's own DMA messages still arrive.
  ///
  /// Returns nil for a posted access, and for one that spans several ranges: answer at once then.
  public func deferReply() -> DeferredReply? { deferral?.deferReply(survivesReset: false) }

  /// Like ``deferReply()``, for the access that itself asks for a reset: the reset does not void it.
  public func deferReplyAcrossReset() -> DeferredReply? {
    deferral?.deferReply(survivesReset: true)
  }

  /// The same access, as one of several pieces that share a reply.
  var undeferrable: AccessContext { AccessContext(deferral: nil, isPosted: isPosted) }
}

/// The session's side of `AccessContext.deferReply()`.
protocol AccessDeferral: AnyObject {
  func deferReply(survivesReset: Bool) -> DeferredReply?
}
