import DeviceProgram
import VFIOUser

/// A device of the demonstration, in a process of its own.
struct DemoProcess {
  let process: ChildProcess
  let client: DeviceClient

  /// Starts `vfio-user serve` and connects to it.
  ///
  /// - Parameter arguments: the device, and its options.
  init(_ arguments: [String]) throws {
    let pair = try SocketPair()
    // The child is this very program; a new name for the inherited descriptor beyond the usual three.
    process = try ChildProcess(
      "/proc/self/exe", ["serve"] + arguments + ["--fd", "3", "--log-level", "warning"],
      descriptors: [3: pair.second.rawValue])
    client = try DeviceClient.connect(adopting: try pair.first.duplicate())
  }

  /// Ends the connection, and with it the process.
  func stop(_ report: DemoReport) throws {
    client.close()
    let ending = process.wait(timeout: .seconds(5))
    try report.expect(ending == .exited(0), "the device's process did not end cleanly")
  }
}
