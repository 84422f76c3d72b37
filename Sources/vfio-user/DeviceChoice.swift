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
}
