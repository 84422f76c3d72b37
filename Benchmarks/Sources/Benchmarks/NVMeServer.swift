import CAllocationCounter
import Glibc
import NVMeDriver
import VFIOUser

/// The released program with the `nvme` device, spinning on the second CPU, and our driver on the first.
final class NVMeServer {
  /// The released program, where VFIO_USER names one.
  static var program: String? { getenv("VFIO_USER").map { String(cString: $0) } }

  let path: String
  let processID: pid_t
  /// Attached once the server answers.
  private(set) var controller: NVMeController?
  private var isEnded = false

  /// Starts `wrapper... program serve nvme --poll always arguments...` and waits until it answers.
  ///
  /// - Parameters:
  ///   - wrapper: a program, with arguments, that runs the server: valgrind.
  ///   - doorbells: how the driver rings; nil leaves attaching to others.
  init(
    _ program: String, _ arguments: [String], wrapper: [String] = [],
    doorbells: NVMeDoorbells? = .auto, memoryByteCount: Int = 64 << 20
  ) throws {
    path = "/tmp/vfio-user-bench-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).sock"
    let command =
      wrapper + [program, "serve", "nvme", "--socket-path", path, "--poll", "always"]
      + ["--log-level", "error"] + arguments
    cac_pin(1)
    defer { cac_pin(0) }
    processID = try Self.start(command)
    let deadline = cac_nanoseconds() + 30_000_000_000
    var options = NVMeDriverOptions()
    options.memoryByteCount = memoryByteCount
    while cac_nanoseconds() < deadline {
      if let client = try? DeviceClient.connect(path: path) {
        client.close()
        guard let doorbells else { return }
        options.doorbells = doorbells
        // The earlier client may still be leaving.
        if let attached = try? NVMeController.attach(path: path, options: options) {
          controller = attached
          return
        }
      }
      usleep(2000)
    }
    end()
    throw Errno.timedOut
  }

  deinit { end() }

  /// Starts a program with the CPU that this thread keeps to.
  static func start(_ command: [String]) throws -> pid_t {
    var list: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for argument in list { free(argument) } }
    var identifier: pid_t = 0
    let result = posix_spawnp(&identifier, command[0], nil, nil, &list, environ)
    guard result == 0 else { throw Errno(rawValue: result) }
    return identifier
  }

  /// Ends the server as an operator would, and collects it.
  func end() {
    guard !isEnded else { return }
    isEnded = true
    controller?.close()
    kill(processID, SIGTERM)
    waitpid(processID, nil, 0)
    unlink(path)
  }

  /// Runs a load of 4 KiB commands, `depth` on each of `queues` pairs.
  func run(
    _ pattern: NVMeLoad.Pattern, depth: Int, queues: Int = 1, namespace: UInt32 = 1,
    milliseconds: Int
  ) throws -> NVMeLoad.Outcome {
    guard let controller else { throw Errno.badFileDescriptor }
    let info = try controller.namespace(namespace)
    var pairs: [NVMeQueuePair] = []
    var buffers: [NVMeBuffer] = []
    for _ in 0..<queues { pairs.append(try controller.makeQueuePair(entryCount: depth + 1)) }
    for _ in 0..<(depth * queues) { buffers.append(try controller.makeBuffer(byteCount: 4096)) }
    defer {
      for pair in pairs { try? controller.delete(pair) }
      for buffer in buffers { controller.release(buffer) }
    }
    var load = NVMeLoad()
    load.pattern = pattern
    load.depth = depth
    load.duration = .milliseconds(milliseconds)
    let outcome = try load.run(info, on: pairs, buffers: buffers)
    guard outcome.errorCount == 0 else { throw Errno.ioError }
    return outcome
  }
}

extension NVMeLoad.Outcome {
  /// Nanoseconds a command, at the rate that all of them were carried out.
  var nanosecondsPerCommand: Double { Double(nanoseconds) / Double(max(commandCount, 1)) }
}
