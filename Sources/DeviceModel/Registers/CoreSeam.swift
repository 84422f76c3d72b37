import VFIOUser

// The part of the protocol core that register blocks stand on, until it is provided there.

/// What a handler knows of the access besides its bytes.
public struct AccessContext {
  /// The context of an access that comes from no session.
  public static var immediate: AccessContext { AccessContext() }
  /// Whether nobody waits for a reply.
  public var isPosted: Bool { false }
  /// Takes the reply out of the handler's hands.
  public func deferReply() -> DeferredReply? { nil }
}

/// Serves accesses to a range of a region.
public protocol RegionHandler: AnyObject {
  /// Reads.
  func read(at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext)
    throws(Errno)
  /// Writes.
  func write(at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext) throws(Errno)
}

/// The reply to an access that is answered later.
public final class DeferredReply: Sendable {
  init() {}
  /// Answers a read.
  public func complete(with bytes: [UInt8]) {}
  /// Answers a write.
  public func complete() {}
  /// Answers with an error.
  public func fail(_ error: Errno) {}
}
