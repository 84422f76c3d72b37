import DeviceModel

/// A program that serves one kind of device, with the command line that every device has.
///
/// ```swift
/// @main struct BlinkerProgram: DeviceProgram {
///   typealias Device = Blinker
/// }
/// ```
///
/// The program takes `--socket-path PATH` or `--fd N`, knobs with `--set`, a back end, a log level;
/// see ``ServeOptions``. It stays in the foreground, ends cleanly on SIGTERM, and says on standard
/// error in one line why it could not start.
public protocol DeviceProgram {
  /// The device that is served.
  associatedtype Device: PCIDevice
}

extension DeviceProgram {
  /// Parses the command line, serves the device until a signal comes, and exits.
  public static func main() {
    ProgramEntry.run(DeviceCommand<Device>.self)
  }
}
