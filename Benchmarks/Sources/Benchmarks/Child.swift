import CAllocationCounter
import Glibc
import VFIOUser

/// A second process of this program: a device server or a bare echo, on one end of a socket pair.
struct Child {
  let processID: pid_t
  let socket: CInt

  enum Role {
    case device(PollingMode)
    /// One whose regions are reached in every way there is.
    case paths(PollingMode)
    case echo(request: Int, reply: Int)

    var arguments: [String] {
      switch self {
      case .device(let polling): ["--child-device", polling.rawValue]
      case .paths(let polling): ["--child-paths", polling.rawValue]
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
    let program = getenv("BENCHMARK_PROGRAM").map { String(cString: $0) } ?? "/proc/self/exe"
    let wrapper =
      getenv("BENCHMARK_WRAPPER").map {
        String(cString: $0).split(separator: " ").map(String.init)
      } ?? []
    let arguments = wrapper + [program] + role.arguments + [isPinned ? "pinned" : "free"]
    var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    var identifier: pid_t = 0
    let result = posix_spawnp(&identifier, arguments[0], &actions, nil, &list, environ)
    for argument in list { free(argument) }
    posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    guard result == 0 else { throw Errno(rawValue: result) }
    processID = identifier
    socket = ends[0]
  }

  /// Stops the child where it is, so that it takes no CPU from what is measured, or lets it go on.
  func pause(_ isPaused: Bool) { kill(processID, isPaused ? SIGSTOP : SIGCONT) }

  /// Waits for a child that ends because its socket was closed.
  func join() { waitpid(processID, nil, 0) }

  /// Ends the child, whose socket the caller has closed, and collects it.
  func end() {
    kill(processID, SIGKILL)
    waitpid(processID, nil, 0)
  }

  /// Runs a child's role, a device's or an echo's on descriptor 3, when the arguments ask for one. Returns whether they did.
  static func runIfAsked() throws -> Bool {
    let arguments = CommandLine.arguments
    if arguments.count == 4, arguments[1] == "--count", let count = Int(arguments[3]) {
      try countPathInstructions(arguments[2], count)
      return true
    }
    // A child inherits the affinity of its parent, which keeps to the first CPU.
    if arguments.count > 3 { cac_pin(arguments.last == "pinned" ? 1 : -1) }
    if arguments.count == 5, arguments[1] == "--child-echo",
      let request = Int(arguments[2]), let reply = Int(arguments[3])
    {
      cac_echo(3, request, reply)
      return true
    }
    guard arguments.count == 4, ["--child-device", "--child-paths"].contains(arguments[1]),
      let polling = PollingMode(rawValue: arguments[2])
    else { return false }
    let loop = try EventLoop(polling: polling)
    let device: any ServedDevice =
      arguments[1] == "--child-paths" ? try PathDevice(polling) : try BenchmarkDevice()
    let server = DeviceServer(host: DeviceHost(device: device, loop: loop))
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
