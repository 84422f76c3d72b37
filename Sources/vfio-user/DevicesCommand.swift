import ArgumentParser
import DeviceModel
import DeviceProgram
import EmulatedDevices
import VFIOUser

/// `vfio-user devices [DEVICE]`: the hardware manual, made from the declarations.
struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "Print the hardware manual of a device, or of all.")

  @Argument(help: ArgumentHelp("The device; all of them without it.", valueName: "device"))
  var device: String?

  @Option(help: ArgumentHelp("How to print it.", valueName: "format"))
  var format: DeviceManual.Format = .text

  func run() throws {
    var kinds = DeviceCatalogue.all
    if let device { kinds = [try DeviceChoice.device(named: device)] }
    let manuals: [DeviceManual]
    do { manuals = try kinds.map { try DeviceChoice.manual(of: $0) } } catch {
      throw ProgramError(.runtime, "devices: a declaration is wrong: \(error)")
    }
    switch format {
    case .json where device == nil:
      print(JSONValue.array(manuals.map(\.json)).text)
    case .json, .text, .markdown:
      print(manuals.map { $0.text(format) }.joined(separator: "\n"), terminator: "")
    }
  }
}

extension DeviceManual.Format: ExpressibleByArgument {}
