import ArgumentParser
import DeviceProgram

/// `vfio-user serve DEVICE`: serves one device in this process.
struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Serve a device, in the foreground, until SIGTERM.",
    discussion: """
      One line on standard error says when clients can connect. The device's state outlives its \
      clients, unless --on-disconnect reset. "vfio-user devices DEVICE" lists the knobs for --set.
      """)

  @Argument(help: ArgumentHelp("The device: \(DeviceChoice.names).", valueName: "device"))
  var device: String

  @OptionGroup var options: ServeOptions

  func run() throws {
    try DeviceRunner(DeviceChoice.device(named: device), options).run()
  }
}
