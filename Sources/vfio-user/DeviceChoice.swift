import DeviceModel
import DeviceProgram
import EmulatedDevices

/// Finds devices by their names on the command line.
enum DeviceChoice {
  /// The names of all devices, for messages.
  static var names: String { DeviceCatalogue.names.joined(separator: ", ") }

  /// The device of that name.
  ///
  /// - Throws: ``ProgramError`` that lists the names.
  static func device(named name: String) throws(ProgramError) -> any PCIDevice.Type {
    guard let device = DeviceCatalogue.device(named: name) else {
      throw ProgramError(.usage, "there is no device \"\(name)\"; choose one of: \(names)")
    }
    return device
  }

  /// The hardware manual of a device, with the back ends that this tool offers it.
  ///
  /// - Throws: what the declarations throw.
  static func manual(of kind: any PCIDevice.Type) throws -> DeviceManual {
    return try kind.declaration.manual(backends: backends(for: kind.declaration.backend))
  }

  private static func backends(for requirement: BackendRequirement?) -> [ManualBackend] {
    guard let requirement else { return [] }
    return requirement.isStorage
      ? [
        ManualBackend("memory:SIZE", "Memory of this process; gone with it."),
        ManualBackend(
          "file:PATH[,OPTION=VALUE]...",
          """
          A file, which must exist, or a block device. direct=on goes past the page cache; readonly=on writes nothing; \
          engine=io_uring or engine=threads says what makes the calls, auto takes io_uring where the kernel allows \
          it. In PATH a comma is written twice.
          """
        ),
        ManualBackend("null:SIZE", "Nothing: requests are done at once and move no bytes."),
        ManualBackend(
          "nbd:URI",
          "An export of an NBD server: nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH."),
      ]
      : [
        ManualBackend("stdio", "Standard input and output."),
        ManualBackend("pty", "A new pseudo-terminal, whose path is logged."),
        ManualBackend("file:PATH", "Output is appended to a file; there is no input."),
        ManualBackend("unix:PATH", "A UNIX socket that listens, and has one peer at a time."),
      ]
  }
}
