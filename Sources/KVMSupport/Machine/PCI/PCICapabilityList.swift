/// Where the capabilities that the bus acts on lie in a configuration space.
///
/// Source: PCI Local Bus Specification 3.0, section 6.7.
struct PCICapabilityList: Equatable, Sendable {
  /// Power management.
  private(set) var powerManagement: Int?
  /// Message-signalled interrupts.
  private(set) var msi: Int?
  /// PCI Express.
  private(set) var pciExpress: Int?
  /// Extended message-signalled interrupts.
  private(set) var msix: Int?

  /// Walks the list of a space whose first 256 bytes are given.
  ///
  /// The bytes come from the device: a chain that loops or leaves the space just ends.
  init(_ bytes: [UInt8]) {
    func byte(_ offset: Int) -> Int { bytes.indices.contains(offset) ? Int(bytes[offset]) : 0 }
    guard byte(PCIHeader.status) & 0x10 != 0 else { return }
    var offset = byte(PCIHeader.capabilities) & ~3
    // Each takes 4 bytes at least, from 0x40 on: 48 find room.
    for _ in 0..<48 {
      guard offset >= 0x40 else { return }
      switch byte(offset) {
      case 0x01 where offset <= 0xf8: powerManagement = powerManagement ?? offset
      case 0x05 where offset <= 0xe8: msi = msi ?? offset
      case 0x10 where offset <= 0xf0: pciExpress = pciExpress ?? offset
      case 0x11 where offset <= 0xf4: msix = msix ?? offset
      default: break
      }
      offset = byte(offset + 1) & ~3
    }
  }
}
