import DeviceModel

/// The devices of this package, by the names that command lines use.
public enum DeviceCatalogue {
  /// All devices, by name.
  public static var all: [any PCIDevice.Type] {
    [EduDevice.self, GpioDevice.self, NVMeDevice.self, SerialDevice.self]
  }

  /// The names of all devices.
  public static var names: [String] { all.map { $0.declaration.name } }

  /// The device of that name, or nil.
  public static func device(named name: String) -> (any PCIDevice.Type)? {
    all.first { $0.declaration.name == name }
  }
}
