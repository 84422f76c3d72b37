extension PCIClassCode {
  /// The name of the class, of its sub-class where that is a well-known one.
  ///
  /// Source: PCI Code and ID Assignment Specification, section 1.
  public var name: String {
    switch (base, sub) {
    case (0x00, 0x01): "VGA compatible unclassified device"
    case (0x00, _): "Unclassified device"
    case (0x01, 0x00): "SCSI storage controller"
    case (0x01, 0x01): "IDE interface"
    case (0x01, 0x06): "SATA controller"
    case (0x01, 0x08):
      programmingInterface == 0x02 ? "NVM Express controller" : "Non-Volatile memory controller"
    case (0x01, _): "Mass storage controller"
    case (0x02, 0x00): "Ethernet controller"
    case (0x02, _): "Network controller"
    case (0x03, 0x00): "VGA compatible controller"
    case (0x03, _): "Display controller"
    case (0x04, _): "Multimedia controller"
    case (0x05, _): "Memory controller"
    case (0x06, 0x00): "Host bridge"
    case (0x06, 0x01): "ISA bridge"
    case (0x06, 0x04): "PCI bridge"
    case (0x06, _): "Bridge"
    case (0x07, 0x00):
      programmingInterface == 0x02 ? "Serial controller (16550)" : "Serial controller"
    case (0x07, _): "Communication controller"
    case (0x08, _): "System peripheral"
    case (0x09, _): "Input device controller"
    case (0x0a, _): "Docking station"
    case (0x0b, _): "Processor"
    case (0x0c, 0x03): "USB controller"
    case (0x0c, _): "Serial bus controller"
    case (0x0d, _): "Wireless controller"
    case (0x0e, _): "Intelligent controller"
    case (0x0f, _): "Satellite communications controller"
    case (0x10, _): "Encryption controller"
    case (0x11, _): "Signal processing controller"
    case (0x12, _): "Processing accelerator"
    case (0x13, _): "Non-Essential Instrumentation"
    case (0xff, _): "Unassigned class"
    default: "Class \(hexadecimalDigits(base, 2))"
    }
  }
}
