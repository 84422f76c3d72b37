import DeviceModel
import KVMSupport
import VFIOUser

/// What a client can learn of a server without changing anything.
struct ProbeReport {
  /// An answer, or why there is none.
  typealias Answer<Value> = Result<Value, ClientError>

  /// No device has more; a server that says so is not believed.
  private static let limit = 256

  let path: String
  let capabilities: Capabilities
  let device: DeviceInfo
  let regions: [Answer<RegionInfo>]
  let interrupts: [Answer<IRQInfo>]
  /// How a monitor would reach the parts of each region that there is, by the region's index.
  let plans: [Int: Answer<RegionPlan>]
  /// Configuration space, of a PCI device.
  let configuration: Answer<[UInt8]>?

  var isPCI: Bool { device.flags.contains(.pci) }

  /// Connects, asks, and disconnects.
  ///
  /// - Parameters:
  ///   - path: the socket, or a folder that holds one named `cntrl`.
  ///   - timeout: how long each answer is waited for.
  ///   - offersExtensions: whether it agrees on what this package adds to the protocol.
  init(path: String, timeout: Duration, offersExtensions: Bool) throws(ClientError) {
    self.path = DeviceClient.socketPath(path)
    var options = ClientOptions()
    options.timeout = timeout
    // What a monitor offers that takes every path there is.
    options.maximumMessageDescriptorCount = 253
    options.offersPostedMessages = offersExtensions
    options.offersMailbox = offersExtensions
    let client = try DeviceClient.connect(path: self.path, options: options)
    defer { client.close() }
    capabilities = client.capabilities
    device = client.deviceInfo
    regions = (0..<min(Int(device.regionCount), Self.limit)).map { index in
      Answer { () throws(ClientError) in try client.region(at: index).info }
    }
    interrupts = (0..<min(Int(device.interruptTypeCount), Self.limit)).map { index in
      Answer { () throws(ClientError) in try client.interruptInfo(index: index) }
    }
    let space = PCIRegionIndex.configurationSpace
    if device.flags.contains(.pci), regions.indices.contains(space),
      case .success(let info) = regions[space], info.byteCount > 0
    {
      configuration = Answer { () throws(ClientError) in
        try client.region(at: space).read(
          at: RegionOffset(0), byteCount: Int(min(info.byteCount, 4096)))
      }
    } else {
      configuration = nil
    }
    // Last: a server that does not know the command may think little of who sends it.
    var plans: [Int: Answer<RegionPlan>] = [:]
    for (index, region) in regions.enumerated() {
      guard case .success(let info) = region, info.byteCount > 0 else { continue }
      plans[index] = Answer { () throws(ClientError) in
        try RegionPlan(asking: try client.region(at: index))
      }
    }
    self.plans = plans
  }

  /// Whether a part is reached by a way that other monitors do not know.
  var usesExtensions: Bool {
    plans.values.contains { answer in
      guard case .success(let plan) = answer else { return false }
      return plan.parts.contains { part in
        switch part.path {
        case .mailbox, .postedMessage: true
        default: false
        }
      }
    }
  }

  /// Configuration space, decoded.
  var configurationReport: PCIConfigurationReport? {
    guard case .success(let bytes) = configuration else { return nil }
    var sizes: [Int: UInt64] = [:]
    for (index, region) in regions.prefix(PCIRegionIndex.configurationSpace).enumerated() {
      if case .success(let info) = region { sizes[index] = info.byteCount }
    }
    return PCIConfigurationDecoder(bytes, regionByteCounts: sizes).decode()
  }

  /// What a region is called.
  func regionName(_ index: Int) -> String {
    guard isPCI else { return "Region \(index)" }
    return switch index {
    case 0...5: "BAR \(index)"
    case 6: "Expansion ROM"
    case 7: "Configuration"
    case 8: "VGA"
    default: "Region \(index)"
    }
  }

  /// What an interrupt type is called.
  func interruptName(_ index: Int) -> String {
    let names = ["INTx", "MSI", "MSI-X", "Error", "Request"]
    return isPCI && index < names.count ? names[index] : "Type \(index)"
  }
}
