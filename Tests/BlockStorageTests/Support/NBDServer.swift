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
    // The socket is there a moment before anyone listens on it.
    for _ in 0..<12_000 {
      if isListening { return }
      var status: CInt = 0
      if waitpid(process, &status, WNOHANG) == process {
        process = 0
        throw Errno.noSuchProcess
      }
      usleep(5000)
    }
    throw Errno.timedOut
  }

  private var isListening: Bool {
    let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
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
