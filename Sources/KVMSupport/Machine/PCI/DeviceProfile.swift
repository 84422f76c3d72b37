import VFIOUser

/// What a device says of itself, checked once: it does not change while the device is attached.
struct DeviceProfile: Equatable, Sendable {
  /// The region of configuration space, as VFIO numbers them.
  static let configurationRegion = 7

  /// Vendor in the low half, device in the high one.
  let identity: UInt32
  /// The registers of the windows that it has.
  let bars: [PCIBaseAddress]
  let capabilities: PCICapabilityList
  /// The interrupt pin: 1 to 4, or 0 when it has none that works.
  let pin: Int
  /// How many messages MSI has, 1 to 32; 0 when there is no MSI.
  let messageCount: Int
  /// Whether MSI has addresses of 64 bits.
  let has64BitMessages: Bool
  let msix: MSIXLayout?
  /// Whether all MSI-X vectors must be set up at once.
  let hasFixedVectors: Bool
  let hasFunctionLevelReset: Bool
  /// Whether going from D3hot to D0 resets nothing.
  let keepsStateInD3: Bool

  /// Asks the device.
  init(_ client: DeviceClient, name: String) throws(MachineError) {
    guard client.deviceInfo.flags.contains(.pci) else {
      throw MachineError(.badDevice, "\(name): this is no PCI device")
    }
    let configuration = try AttachedDevice.connecting(name) { () throws(ClientError) in
      try client.region(at: Self.configurationRegion)
    }
    guard configuration.byteCount >= UInt64(PCIHeader.byteCount) else {
      throw MachineError(.badDevice, "\(name): its configuration space has less than 256 bytes")
    }
    do throws(MachineError) {
      let bytes = try AttachedDevice.connecting(name) { () throws(ClientError) in
        try configuration.read(at: RegionOffset(0), byteCount: PCIHeader.byteCount)
      }
      func load(_ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32($1 * 8) }
      }
      identity = load(PCIHeader.vendor)
      guard bytes[PCIHeader.headerType] & 0x7f == 0 else {
        throw MachineError(.badDevice, "it is a bridge, and only plain functions can be attached")
      }
      bars = try Self.readBARs(client, name, load)
      let found = PCICapabilityList(bytes)
      capabilities = found
      let control = found.msi.map { load($0) >> 16 } ?? 0
      messageCount = found.msi == nil ? 0 : 1 << Int(min(control >> 1 & 7, 5))
      has64BitMessages = control & 0x80 != 0
      msix = found.msix.map { MSIXLayout(bytes, at: $0) }
      let windows = bars.map { bar in (bar.index, (bar.regionByteCount, bar.isPort)) }
      try msix?.check(Dictionary(uniqueKeysWithValues: windows))
      hasFunctionLevelReset = found.pciExpress.map { load($0 + 4) & 1 << 28 != 0 } ?? false
      keepsStateInD3 = found.powerManagement.map { load($0 + 4) & 1 << 3 != 0 } ?? true
      let lines = Self.interrupts(client, .line)
      let number = Int(bytes[PCIHeader.interruptPin])
      pin = (1...4).contains(number) && lines.count > 0 ? number : 0
      hasFixedVectors = Self.interrupts(client, .msix).flags.contains(.noresize)
    } catch {
      guard error.code == .badDevice, !error.description.hasPrefix(name) else { throw error }
      throw MachineError(.badDevice, "\(name): \(error)")
    }
  }

  private static func readBARs(
    _ client: DeviceClient, _ name: String, _ load: (Int) -> UInt32
  ) throws(MachineError) -> [PCIBaseAddress] {
    var bars: [PCIBaseAddress] = []
    var index = 0
    while index < PCIHeader.barCount {
      defer { index += 1 }
      guard index < Int(client.deviceInfo.regionCount) else { break }
      let byteCount = try AttachedDevice.connecting(name) { () throws(ClientError) in
        try client.region(at: index).byteCount
      }
      guard byteCount > 0 else { continue }
      let bar = try PCIBaseAddress(
        index: index, value: load(PCIHeader.firstBAR + index * 4), regionByteCount: byteCount)
      bars.append(bar)
      if bar.is64Bit { index += 1 }
    }
    return bars
  }

  /// What the server says about an interrupt type; a type that it does not have has no interrupts.
  private static func interrupts(_ client: DeviceClient, _ type: InterruptType) -> IRQInfo {
    let none = IRQInfo(index: UInt32(type.rawValue), flags: [], count: 0)
    guard type.rawValue < Int(client.deviceInfo.interruptTypeCount) else { return none }
    return (try? client.interruptInfo(index: type.rawValue)) ?? none
  }

  // MARK: The shadow

  /// The part of configuration space that the bus keeps, after a reset.
  func makeShadow(interruptLine: Int) -> PCIConfigurationShadow {
    var shadow = PCIConfigurationShadow()
    var command: UInt16 = 0
    for index in 0..<PCIHeader.barCount {
      shadow.define(at: PCIHeader.firstBAR + index * 4, UInt32(0))
    }
    for bar in bars {
      command |= bar.isPort ? PCIHeader.Command.ioSpace : PCIHeader.Command.memorySpace
      let offset = PCIHeader.firstBAR + bar.index * 4
      shadow.define(
        at: offset, bar.typeBits, writable: UInt32(truncatingIfNeeded: bar.writable))
      if bar.is64Bit {
        shadow.define(at: offset + 4, UInt32(0), writable: UInt32(bar.writable >> 32))
      }
    }
    let decodes = PCIHeader.Command.ioSpace | PCIHeader.Command.memorySpace
    shadow.define(at: PCIHeader.command, UInt16(0), kept: decodes, writable: command)
    shadow.define(at: PCIHeader.expansionROM, UInt32(0))
    shadow.define(
      at: PCIHeader.interruptLine, UInt8(truncatingIfNeeded: interruptLine), writable: 0xff)
    shadow.define(at: PCIHeader.interruptPin, UInt8(truncatingIfNeeded: pin))
    if let msi = capabilities.msi {
      shadow.define(at: msi + 2, UInt16(0), kept: 0x71, writable: 0x71)
      shadow.define(at: msi + 4, UInt32(0), writable: ~3)
      if has64BitMessages { shadow.define(at: msi + 8, UInt32(0), writable: .max) }
      shadow.define(at: msi + messageDataOffset, UInt16(0), writable: .max)
    }
    if let msix = capabilities.msix {
      shadow.define(at: msix + 2, UInt16(0), kept: 0xc000, writable: 0xc000)
    }
    return shadow
  }

  /// Where an MSI capability holds its data, from its start.
  var messageDataOffset: Int { has64BitMessages ? 12 : 8 }
}

/// The interrupt types of a PCI device, as VFIO numbers them.
///
/// Source: `enum` of `VFIO_PCI_*_IRQ_INDEX` in the kernel's `linux/vfio.h`.
enum InterruptType: Int {
  case line
  case msi
  case msix
}
