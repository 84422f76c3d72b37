/// A way to serve the sockets of ioregionfds; without one, they are served with epoll.
///
/// See ``DeviceOptions/ioRegionEngine``.
public protocol IORegionEngine: Sendable {
  /// Makes what serves the sockets of one loop. Called on that loop, or before it runs.
  ///
  /// - Throws: when the system does not offer what the engine needs: the loop uses epoll then.
  func makeService(on loop: EventLoop) throws(Errno) -> any IORegionService
}

/// What serves the sockets of ioregionfds on one loop.
///
/// Threads: confined to its loop.
public protocol IORegionService: AnyObject {
  /// Takes commands from `socket` from now on, has them carried out, and sends the responses.
  ///
  /// The socket is of the type SOCK_SEQPACKET: a command a message. Whatever else a message is closes
  /// the endpoint.
  /// - Throws: the system's error; the socket is closed then.
  func serve(
    _ socket: consuming OwnedDescriptor, for executor: any IORegionExecutor
  ) throws(Errno) -> any IORegionEndpoint
}
