/// The device's end of a descriptor that carries accesses: an ioregionfd's socket, or a mailbox.
///
/// It takes one access at a time, in the order of their arrival, hands it to its `IORegionExecutor`,
/// and takes the next one when that is answered. A sender that breaks the protocol has its endpoint
/// closed, with one line in the log; one that closes its end has it closed silently.
///
/// Threads: confined to its loop.
public protocol IORegionEndpoint: AnyObject {
  /// The number of the access in progress, never used again.
  var generation: UInt64 { get }

  /// Answers the access of that generation, if it still waits; a late answer does nothing.
  ///
  /// - Parameter data: what was read, zero-extended; ignored for a write.
  func respond(_ data: UInt64, generation: UInt64)

  /// Takes no further access until `resume`; answers still go out. Calls nest: each wants its `resume`.
  func pause()

  /// Ends one `pause`.
  func resume()

  /// Closes the device's end: the sender reaches the region by messages then. Calling it again does
  /// nothing.
  func close()

  /// Whether the endpoint is closed, by whichever side.
  var isClosed: Bool { get }
}
