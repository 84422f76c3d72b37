import ArgumentParser
import DeviceModel

/// The root command of a program with one device.
struct DeviceCommand<Device: PCIDevice>: ParsableCommand {
  static var configuration: CommandConfiguration {
    let declaration = Device.declaration
    return CommandConfiguration(
      commandName: declaration.name, abstract: declaration.summary,
      discussion: KnobHelp.text(for: declaration))
  }

  @OptionGroup var options: ServeOptions

  func run() throws { try DeviceRunner(Device.self, options).run() }
}
