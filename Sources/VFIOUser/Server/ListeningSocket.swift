import CVFIOUserLinux

/// A listening UNIX socket, and its file while it is ours.
final class ListeningSocket {
  private let socket: OwnedDescriptor
  /// The file to remove in the end, and what it was when it was made.
  private let file: (path: String, identity: FileIdentity)?

  var rawValue: CInt { socket.rawValue }

  /// Listens on `path`. A file that nobody listens on any more is replaced.
  init(path: String) throws(ServerError) {
    var result = unsafe cvfu_listen(path, 16)
    if result == -EADDRINUSE {
      try Self.removeStale(path)
      // Safety: the path is a C string for the time of the call.
      result = unsafe cvfu_listen(path, 16)
    }
    if result < 0 {
      let error = Errno(rawValue: 0 - result)
      throw ServerError("cannot listen on \(path): \(error)", error)
    }
    socket = OwnedDescriptor(adopting: result)
    file = FileIdentity(path: path).map { (path, $0) }
  }

  /// Takes over a socket that somebody else made and listens on.
  init(adopting socket: consuming OwnedDescriptor) throws(ServerError) {
    do throws(Errno) {
      _ = try Errno.checkShim(cvfu_set_nonblocking(socket.rawValue, true))
    } catch { throw ServerError("the inherited socket cannot be used: \(error)", error) }
    self.socket = socket
    file = nil
  }

  deinit {
    // Somebody may have put another file there: that one is not ours to remove.
    if let file, FileIdentity(path: file.path) == file.identity {
      // Safety: the path is a C string for the time of the call.
      _ = unsafe unlink(file.path)
    }
  }

  /// The next client, or nil when none waits.
  func accept() throws(Errno) -> OwnedDescriptor? {
    let result = cvfu_accept(socket.rawValue)
    if result == -EAGAIN || result == -ECONNABORTED { return nil }
    return OwnedDescriptor(adopting: try Errno.checkShim(result))
  }

  private static func removeStale(_ path: String) throws(ServerError) {
    guard let identity = FileIdentity(path: path) else { return }
    guard identity.isSocket else {
      throw ServerError(
        "\(path) exists and is no socket: choose another path or remove it", .fileExists)
    }
    // Safety: the path is a C string for the time of the call.
    let probe = unsafe cvfu_connect(path)
    if probe >= 0 { close(probe) }
    guard probe == -ECONNREFUSED else {
      throw ServerError(
        "\(path) is in use by a running process: stop it or choose another path", .addressInUse)
    }
    // Safety: as above.
    _ = unsafe unlink(path)
  }
}

/// Which file a path names.
private struct FileIdentity: Equatable {
  private let device: UInt64
  private let node: UInt64
  let isSocket: Bool

  init?(path: String) {
    var status = stat()
    // Safety: the path is a C string, and the kernel fills one local structure.
    guard unsafe lstat(path, &status) == 0 else { return nil }
    device = UInt64(status.st_dev)
    node = UInt64(status.st_ino)
    isSocket = UInt32(status.st_mode) & UInt32(S_IFMT) == UInt32(S_IFSOCK)
  }
}
