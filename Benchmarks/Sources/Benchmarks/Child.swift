import CAllocationCounter
import Glibc
import VFIOUser

/// A second process of this program: a device server or a bare echo, on one end of a socket pair.
struct Child {
  let processID: pid_t
  let socket: CInt

  enum Role {
    case device(PollingMode)
    case echo(request: Int, reply: Int)

    var arguments: [String] {
      switch self {
      case .device(let polling): ["--child-device", polling.rawValue]
      case .echo(let request, let reply): ["--child-echo", "\(request)", "\(reply)"]
      }
    }
  }

  /// - Parameter isPinned: whether it may run on the second CPU only.
  init(_ role: Role, isPinned: Bool = false) throws {
    var ends: [CInt] = [-1, -1]
    guard cac_socket_pair(&ends) == 0 else { throw Errno(rawValue: errno) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, ends[1], 3)
    let arguments = [CommandLine.arguments[0]] + role.arguments + [isPinned ? "pinned" : "free"]
    var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    var identifier: pid_t = 0
    let result = posix_spawn(&identifier, "/proc/self/exe", &actions, nil, &list, environ)
    for argument in list { free(argument) }
    posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    guard result == 0 else { throw Errno(rawValue: result) }
    processID = identifier
    socket = ends[0]
  }

  /// Ends the child, whose socket the caller has closed, and collects it.
  func end() {
    kill(processID, SIGKILL)
    waitpid(processID, nil, 0)
  }

  /// Runs a child's role on descriptor 3, when the arguments ask for one. Returns whether they did.
  static func runIfAsked() throws -> Bool {
    let arguments = CommandLine.arguments
    // A child inherits the affinity of its parent, which keeps to the first CPU.
    if arguments.count > 3 { cac_pin(arguments.last == "pinned" ? 1 : -1) }
    if arguments.count == 5, arguments[1] == "--child-echo",
      let request = Int(arguments[2]), let reply = Int(arguments[3])
    {
      cac_echo(3, request, reply)
      return true
    }
    guard arguments.count == 4, arguments[1] == "--child-device",
      let polling = PollingMode(rawValue: arguments[2])
    else { return false }
    let loop = try EventLoop(polling: polling)
    let server = DeviceServer(host: DeviceHost(device: try BenchmarkDevice(), loop: loop))
    server.onExhausted = { loop.stop() }
    try server.adopt(OwnedDescriptor(adopting: 3))
    try loop.run()
    return true
  }

  /// User and system time that the child has used, in clock ticks of 10 ms.
  var processorTicks: Int {
    guard let file = fopen("/proc/\(processID)/stat", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 1024)
    guard fgets(&line, 1024, file) != nil else { return 0 }
    let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let text = String(decoding: bytes, as: UTF8.self)
    let fields = text.split(separator: " ")
    guard fields.count > 14 else { return 0 }
    return (Int(fields[13]) ?? 0) + (Int(fields[14]) ?? 0)
  }
}
