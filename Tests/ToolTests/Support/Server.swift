import DeviceProgram
import EmulatedDevices
import VFIOUser

/// A device program that listens on a socket.
final class Server {
  let program: Program
  let path: String
  private let folder: TemporaryFolder

  /// Starts `vfio-user serve DEVICE`, or another program, and waits until it listens.
  init(
    _ device: String = "edu", program name: String = "vfio-user", _ arguments: [String] = [],
    in folder: TemporaryFolder = .init()
  ) throws {
    self.folder = folder
    path = folder / "socket"
    let first = name == "vfio-user" ? ["serve", device] : []
    program = try Program(
      name, first + ["--socket-path", path] + arguments, in: folder)
    guard becomesReady() else { throw NotReady(errors: program.outcome.errors) }
  }

  struct NotReady: Error { var errors: String }

  /// Connects a client.
  func connect() throws -> DeviceClient {
    var options = ClientOptions()
    options.timeout = .seconds(60)
    return try DeviceClient.connect(path: path, options: options)
  }

  /// Waits until a connection is accepted.
  ///
  /// Does not look at what the program logs, since that depends on the level.
  private func becomesReady() -> Bool {
    for _ in 0..<12_000 {
      if let client = try? connect() {
        client.close()
        return true
      }
      if program.process.wait(timeout: .milliseconds(5)) != nil { return false }
    }
    return false
  }
}

extension DeviceClient {
  /// Reads a register of `edu`.
  func read(_ register: EduRegister) throws -> UInt32 {
    try region(at: 0).read(at: RegionOffset(UInt64(register.declaration.offset)))
  }

  /// Writes a register of `edu`.
  func write(_ value: UInt32, to register: EduRegister) throws {
    try region(at: 0).write(value, at: RegionOffset(UInt64(register.declaration.offset)))
  }
}
