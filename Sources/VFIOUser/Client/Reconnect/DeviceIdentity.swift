/// What must be the same of a device after a loss, so that its driver may go on.
///
/// How a region is reached (mappings, descriptors) may differ: that is asked for again.
struct DeviceIdentity: Equatable, Sendable {
  /// What stays of a region.
  struct Region: Equatable, Sendable {
    var byteCount: UInt64
    var rights: RegionFlags
    var type: RegionType?
  }

  /// What stays of an interrupt type.
  struct Interrupts: Equatable, Sendable {
    var count: UInt32
    var flags: InterruptFlags
  }

  /// How many regions and interrupt types are looked at; a server may claim any number.
  static let maximumCount = 256
  /// Where a PCI device has its configuration space. Source: `linux/vfio.h`.
  static let configurationRegion = 7

  var flags: DeviceFlags
  var regionCount: UInt32
  var interruptTypeCount: UInt32
  /// Nil where the server knows no such index.
  var regions: [Region?]
  var interrupts: [Interrupts?]
  /// Vendor, device, revision, class, header type and subsystem; empty for other than PCI.
  var pci: [UInt8]

  /// Asks the server.
  ///
  /// - Throws: what ended the connection; an index that the server refuses is one that is not there.
  init(of client: DeviceClient) throws(ClientError) {
    let info = client.deviceInfo
    flags = info.flags
    regionCount = info.regionCount
    interruptTypeCount = info.interruptTypeCount
    regions = []
    interrupts = []
    pci = []
    for index in 0..<min(info.regionCount, UInt32(Self.maximumCount)) {
      regions.append(
        try Self.unlessRefused { () throws(ClientError) in
          let (info, _) = try client.queryRegion(index)
          var type: RegionType?
          for case .type(let found) in info.capabilities { type = found }
          return Region(
            byteCount: info.byteCount, rights: info.flags.intersection([.read, .write]), type: type)
        })
    }
    for index in 0..<min(info.interruptTypeCount, UInt32(Self.maximumCount)) {
      interrupts.append(
        try Self.unlessRefused { () throws(ClientError) in
          let info = try client.interruptInfo(index: Int(index))
          return Interrupts(count: info.count, flags: info.flags)
        })
    }
    guard flags.contains(.pci), regions.count > Self.configurationRegion,
      let configuration = regions[Self.configurationRegion], configuration.byteCount >= 64
    else { return }
    var header = [UInt8](repeating: 0, count: 64)
    let isRead = try Self.unlessRefused { () throws(ClientError) in
      try header.withMutableRawSpan { span throws(ClientError) in
        try client.readBytes(UInt32(Self.configurationRegion), RegionOffset(0), into: &span)
      }
      return true
    }
    guard isRead != nil else { return }
    // The revision is visible to the guest, too; command and status are state.
    pci = Array(header[0..<4] + header[8..<12] + header[14..<15] + header[0x2c..<0x30])
  }

  private static func unlessRefused<Result>(
    _ body: () throws(ClientError) -> Result
  ) throws(ClientError) -> Result? {
    do throws(ClientError) { return try body() } catch {
      if error.code == .rejected || error.code == .shortTransfer { return nil }
      throw error
    }
  }

  /// What of `other` is not as here, in words; nil when it is the same device.
  func difference(from other: DeviceIdentity) -> StaticString? {
    if pci != other.pci { return "another PCI device came back" }
    if flags != other.flags { return "the device that came back has other flags" }
    if regionCount != other.regionCount || regions != other.regions {
      return "the device that came back has other regions"
    }
    if interruptTypeCount != other.interruptTypeCount || interrupts != other.interrupts {
      return "the device that came back has other interrupts"
    }
    return nil
  }
}
