/// An eventfd that is to lead to a message.
public struct MessageRequest: Sendable {
  /// Which eventfd.
  public enum Source: Hashable, Sendable {
    /// One that leads nowhere yet, lent until it is disconnected.
    case descriptor(CInt)
    /// One that leads to a message already.
    case connection(InterruptConnection)
  }

  /// The eventfd.
  public var source: Source
  /// Where it is to lead.
  public var message: InterruptMessage

  /// Makes a request.
  public init(_ source: Source, to message: InterruptMessage) {
    self.source = source
    self.message = message
  }
}
