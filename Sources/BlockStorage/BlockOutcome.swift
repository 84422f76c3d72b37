public import VFIOUser

/// What became of a request that was handed to a channel.
@frozen
public enum BlockOutcome: Sendable, Equatable {
  /// It is done: the caller goes on at once, and the request's owner is not called.
  case done
  /// It failed at once; the request's owner is not called.
  case failed(Errno)
  /// The request's owner is called later, on the channel's loop.
  case pending
}
