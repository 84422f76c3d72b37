import CNBD
import VFIOUser

/// One connection to an NBD server.
///
/// Threads: any, one at a time.
@safe
final class NBDConnection: @unchecked Sendable {
  /// How many commands can be in flight.
  static let capacity = 128

  /// The connection, for the functions of the shim; this object's until deinit.
  let handle: OpaquePointer

  /// A connection that is not connected; nil without memory, or without libnbd.
  init?() {
    guard let handle = unsafe cnbd_create(UInt32(Self.capacity)) else { return nil }
    unsafe self.handle = handle
  }

  deinit {
    // Safety: nobody else has it.
    unsafe cnbd_free(handle)
  }

  /// Whether commands can be given.
  var isReady: Bool { unsafe cnbd_state(handle) == CNBD_READY }

  /// What the server says of its export, or nil.
  var facts: cnbd_facts? {
    var facts = cnbd_facts()
    // Safety: a local variable.
    return unsafe cnbd_get_facts(handle, &facts) == 0 ? facts : nil
  }

  /// Begins to connect.
  ///
  /// - Throws: what libnbd says.
  func connect(to uri: String) throws(Errno) {
    // Safety: the string is the call's own copy.
    let result = unsafe cnbd_connect(handle, uri)
    if result < 0 { throw Errno(rawValue: -result) }
  }

  /// Connects, and waits for that.
  ///
  /// - Throws: ``StorageError`` for the storage called `name`.
  static func connected(
    to uri: String, within limit: Duration, _ name: String
  ) throws(StorageError) -> NBDConnection {
    if let reason = unsafe cnbd_unavailable() {
      // Safety: a constant string of the shim's.
      throw StorageError(.unavailable, "storage \(name): \(unsafe String(cString: reason))")
    }
    guard let connection = NBDConnection() else {
      throw StorageError(.unavailable, "storage \(name): there is no memory left", .noMemory)
    }
    do throws(Errno) { try connection.connect(to: uri) } catch {
      throw StorageError(.unavailable, "storage \(name): \(lastError)", error)
    }
    let end = ContinuousClock.now + limit
    while true {
      // Safety: the connection lives as long as this call.
      let state = unsafe cnbd_go_on(connection.handle, 100)
      if state == CNBD_READY { return connection }
      if state == CNBD_DEAD {
        throw StorageError(.unavailable, "storage \(name): \(lastError)", .ioError)
      }
      guard ContinuousClock.now < end else {
        throw StorageError(.unavailable, "storage \(name): the server does not answer", .timedOut)
      }
    }
  }

  /// What libnbd said last on this thread.
  private static var lastError: String {
    // Safety: a string of libnbd's that stays until its next call on this thread.
    unsafe String(cString: cnbd_error())
  }
}
