import CVFIOUserLinux

/// Both ends of a descriptor that has just been made: the client's on its way to the client, the
/// device's on its way to the loop that will serve it.
struct IORegionEnds {
  /// What the client is told that it gets.
  let kind: RegionIODescriptor.Kind
  /// What is sent to the client, in this order; closed here when the last reference goes.
  let client: [HeldDescriptor]
  /// The device's end.
  let device: any IORegionDeviceEnd

  /// Makes the ends of a mailbox, where there may be one, or else of an ioregionfd.
  ///
  /// - Throws: `EMFILE`, `ENFILE` or `ENOMEM`.
  static func make(mayBeMailbox: Bool) throws(Errno) -> IORegionEnds {
    // Where the system has no room for three descriptors, it may have for one.
    if mayBeMailbox, let store = try? MailboxStore(),
      let client = try? store.monitorDescriptors()
    {
      return IORegionEnds(kind: .mailbox, client: client, device: store)
    }
    var ends: [CInt] = [-1, -1]
    // Safety: the kernel writes two entries into an array of two.
    let result = unsafe ends.withUnsafeMutableBufferPointer { list in
      unsafe cvfu_port_pair(list.baseAddress)
    }
    _ = try Errno.checkShim(result)
    return IORegionEnds(
      kind: .ioregionfd, client: [HeldDescriptor(OwnedDescriptor(adopting: ends[1]))],
      device: SocketDeviceEnd(OwnedDescriptor(adopting: ends[0])))
  }
}

/// The device's end of a descriptor that nobody serves yet.
protocol IORegionDeviceEnd: AnyObject, Sendable {
  /// Begins to serve it, once, on the loop that it is for.
  ///
  /// - Parameter service: serves the sockets of that loop.
  func open(
    on loop: EventLoop, _ service: any IORegionService, for executor: any IORegionExecutor
  ) throws(Errno) -> any IORegionEndpoint
}

/// The device's end of an ioregionfd.
private final class SocketDeviceEnd: IORegionDeviceEnd {
  private let socket: HeldDescriptor

  init(_ socket: consuming OwnedDescriptor) { self.socket = HeldDescriptor(socket) }

  func open(
    on loop: EventLoop, _ service: any IORegionService, for executor: any IORegionExecutor
  ) throws(Errno) -> any IORegionEndpoint {
    guard let socket = socket.take() else { throw .badFileDescriptor }
    return try service.serve(socket, for: executor)
  }
}
