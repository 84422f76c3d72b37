/// Memory of the client that a device may reach by messages.
///
/// Threads: called on whichever thread receives from the server, one call at a time for each
/// connection, while the connection is locked: implementations must not call the client.
public protocol ClientMemory: AnyObject, Sendable {
  /// The size in bytes.
  var byteCount: Int { get }

  /// Copies memory from `offset` on into `bytes`.
  ///
  /// - Throws: what the server is answered with; the connection goes on.
  func read(at offset: Int, into bytes: inout MutableRawSpan) throws(Errno)

  /// Copies `bytes` into the memory at `offset`; throws as `read(at:into:)`.
  func write(at offset: Int, from bytes: RawSpan) throws(Errno)
}

extension SharedMemory: ClientMemory {}
