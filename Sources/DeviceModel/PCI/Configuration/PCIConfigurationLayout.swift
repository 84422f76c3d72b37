/// The configuration space of a declared function after power-on, and where its capabilities lie.
struct PCIConfigurationLayout {
  /// The space after power-on.
  private(set) var space: PCIConfigurationSpace
  /// The offset of the power management capability.
  private(set) var powerManagement: Int?
  /// The offset of the PCI Express capability.
  private(set) var pciExpress: Int?
  /// The offset of the MSI capability.
  private(set) var msi: Int?
  /// The offset of the MSI-X capability.
  private(set) var msix: Int?
  /// Each capability with its name, for the manual: in the order of the chain.
  private(set) var placed: [(name: String, offset: Int, byteCount: Int)] = []

  private var taken: [Range<Int>] = []
  private var lastCapability: Int?

  /// Lays out the space.
  ///
  /// - Throws: ``PCIHardwareError`` when the capabilities cannot be placed.
  init(hardware: PCIHardware) throws(PCIHardwareError) {
    space = PCIConfigurationSpace(byteCount: hardware.configurationSpace.rawValue)
    defineHeader(hardware)
    for bar in hardware.bars where (0...5).contains(bar.index) { define(bar) }
    if let rom = hardware.expansionROM {
      let mask = UInt32(truncatingIfNeeded: ~(rom.windowByteCount - 1))
      space.define(at: PCIConfigurationOffset.expansionROM, UInt32(0), writable: mask | 1)
    }
    try placeCapabilities(hardware)
    try placeExtendedCapabilities(hardware)
  }

  private mutating func defineHeader(_ hardware: PCIHardware) {
    let identity = hardware.identity
    var command: PCICommand = [.busMaster, .parityErrorResponse, .systemErrorEnable]
    if hardware.bars.contains(where: { !$0.kind.isMemory }) { command.insert(.ioSpace) }
    if hardware.bars.contains(where: \.kind.isMemory) || hardware.expansionROM != nil {
      command.insert(.memorySpace)
    }
    if hardware.interrupts.pin != nil { command.insert(.interruptDisable) }
    let isExpress = hardware.pciExpress != nil

    typealias Offset = PCIConfigurationOffset
    space.define(at: Offset.vendor, identity.vendor)
    space.define(at: Offset.device, identity.device)
    space.define(at: Offset.command, UInt16(0), writable: command.rawValue)
    space.define(at: Offset.status, UInt16(0), clearedByOne: PCIStatus.errors.rawValue)
    space.define(at: Offset.revision, identity.revision)
    space.define(at: Offset.classCode, identity.classCode.programmingInterface)
    space.define(at: Offset.classCode + 1, identity.classCode.sub)
    space.define(at: Offset.classCode + 2, identity.classCode.base)
    space.define(at: Offset.cacheLineSize, UInt8(0), writable: 0xff)
    // PCI Express hardwires the latency timer to 0.
    space.define(at: Offset.latencyTimer, UInt8(0), writable: isExpress ? 0 : 0xf8)
    space.define(at: Offset.subsystemVendor, identity.subsystemVendor)
    space.define(at: Offset.subsystem, identity.subsystem)
    space.define(at: Offset.interruptLine, UInt8(0), writable: 0xff)
    space.define(at: Offset.interruptPin, hardware.interrupts.pin?.rawValue ?? 0)
  }

  private mutating func define(_ bar: BAR) {
    let offset = PCIConfigurationOffset.bar0 + bar.index * 4
    let mask = bar.addressMask
    space.define(at: offset, bar.kind.typeBits, writable: UInt32(truncatingIfNeeded: mask))
    if bar.kind.is64Bit, bar.index < 5 {
      space.define(at: offset + 4, UInt32(0), writable: UInt32(truncatingIfNeeded: mask >> 32))
    }
  }

  // MARK: - Capabilities

  private mutating func placeCapabilities(_ hardware: PCIHardware) throws(PCIHardwareError) {
    var images: [PCICapabilityImage] = []
    for capability in hardware.capabilities {
      images.append(try PCICapabilityImage(capability))
    }
    if let msi = hardware.interrupts.msi { images.append(PCICapabilityImage(msi)) }
    if let msix = hardware.interrupts.msix { images.append(PCICapabilityImage(msix)) }
    for identifier in Set(images.map(\.identifier)) where identifier != .vendor {
      guard images.count(where: { $0.identifier == identifier }) == 1 else {
        throw PCIHardwareError(.badCapability, "\(identifier.name): declared twice")
      }
    }
    // Those that want a place of their own come first, so that the others go around them.
    for image in images { if let wish = image.offset { try reserve(wish, for: image) } }
    for image in images {
      if let wish = image.offset {
        link(image, at: wish)
      } else {
        link(image, at: try freePlace(for: image))
      }
    }
    if !images.isEmpty {
      space.define(
        at: PCIConfigurationOffset.status, PCIStatus.capabilityList.rawValue,
        clearedByOne: PCIStatus.errors.rawValue)
    }
  }

  private mutating func reserve(
    _ offset: Int, for image: PCICapabilityImage
  ) throws(PCIHardwareError) {
    guard offset % 4 == 0, offset >= PCIConfigurationOffset.firstCapability,
      offset + image.byteCount <= 256
    else {
      throw PCIHardwareError(
        .badCapability,
        "\(image.identifier.name): \(image.byteCount) bytes at offset \(offset); it must be a"
          + " multiple of 4 from 64 on and end within 256 bytes")
    }
    let range = offset..<(offset + image.byteCount)
    guard !taken.contains(where: { $0.overlaps(range) }) else {
      throw PCIHardwareError(
        .badCapability, "\(image.identifier.name): overlaps another capability at \(offset)")
    }
    taken.append(range)
  }

  private mutating func freePlace(
    for image: PCICapabilityImage
  ) throws(PCIHardwareError) -> Int {
    var offset = PCIConfigurationOffset.firstCapability
    while offset + image.byteCount <= 256 {
      let range = offset..<(offset + image.byteCount)
      guard let obstacle = taken.first(where: { $0.overlaps(range) }) else {
        taken.append(range)
        return offset
      }
      offset = (obstacle.upperBound + 3) & ~3
    }
    throw PCIHardwareError(
      .badCapability,
      "\(image.identifier.name): no room for \(image.byteCount) bytes below 256")
  }

  private mutating func link(_ image: PCICapabilityImage, at offset: Int) {
    for field in image.fields { field.define(&space, offset) }
    space.define(at: offset, image.identifier.rawValue)
    space.define(at: offset + 1, UInt8(0))
    let pointer = lastCapability.map { $0 + 1 } ?? PCIConfigurationOffset.capabilities
    space.define(at: pointer, UInt8(truncatingIfNeeded: offset))
    lastCapability = offset
    placed.append((image.identifier.name, offset, image.byteCount))
    switch image.identifier {
    case .powerManagement: powerManagement = offset
    case .pciExpress: pciExpress = offset
    case .msi: msi = offset
    case .msix: msix = offset
    default: break
    }
  }

  private mutating func placeExtendedCapabilities(
    _ hardware: PCIHardware
  ) throws(PCIHardwareError) {
    guard !hardware.extendedCapabilities.isEmpty else { return }
    guard hardware.configurationSpace == .extended, pciExpress != nil else {
      throw PCIHardwareError(
        .badCapability,
        "extended capabilities need 4096 bytes of configuration space and a PCI Express capability")
    }
    var offset = PCIConfigurationOffset.firstExtendedCapability
    var images: [PCIExtendedCapabilityImage] = []
    for capability in hardware.extendedCapabilities {
      images.append(try PCIExtendedCapabilityImage(capability))
    }
    for (index, image) in images.enumerated() {
      guard offset + image.byteCount <= 4096 else {
        throw PCIHardwareError(
          .badCapability, "\(image.identifier.name): no room for \(image.byteCount) bytes")
      }
      let next = (offset + image.byteCount + 3) & ~3
      for field in image.fields { field.define(&space, offset) }
      let isLast = index == images.count - 1
      let header =
        UInt32(image.identifier.rawValue) | UInt32(image.version) << 16
        | (isLast ? 0 : UInt32(next) << 20)
      space.define(at: offset, header)
      placed.append((image.identifier.name, offset, image.byteCount))
      offset = next
    }
  }
}
