import BlockStorage
import Glibc
import Testing
import VFIOUser

/// An nbdkit in a process of its own, which goes away with its owner.
final class NBDServer {
  /// Whether this machine has nbdkit, and a libnbd to reach it with.
  static let isHere: Bool = {
    guard let server = try? NBDServer(["memory", "1M"]) else { return false }
    return (try? NBDStorage(uri: server.uri)) != nil
  }()

  let path: String
  private let arguments: [String]
  private var process: pid_t = 0

  var uri: String { "nbd+unix:///?socket=\(path)" }

  /// Starts `nbdkit` with these arguments on a socket.
  init(_ arguments: [String]) throws {
    path = "/tmp/block-storage-test-\(getpid())-\(UInt64.random(in: 0 ... .max)).sock"
    self.arguments = arguments
    try start()
  }

  deinit { kill() }

  func start() throws {
    let words = ["nbdkit", "-f", "--log=null", "-U", path] + arguments
    var list = words.map { strdup($0) }
    list.append(nil)
    defer { for word in list { free(word) } }
    let error = posix_spawnp(&process, "nbdkit", nil, nil, list, environ)
    guard error == 0 else {
      process = 0
      throw Errno(rawValue: error)
    }
    for _ in 0..<1000 where access(path, F_OK) != 0 { usleep(5000) }
    guard access(path, F_OK) == 0 else { throw Errno.timedOut }
  }

  /// Ends the server at once.
  func kill() {
    guard process > 0 else { return }
    Glibc.kill(process, SIGKILL)
    var status: CInt = 0
    waitpid(process, &status, 0)
    process = 0
    unlink(path)
  }
}
