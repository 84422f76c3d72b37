import VFIOUser

/// Serves a device on a platform bus: the glue that PCI devices have in configuration space.
///
/// Regions are numbered as the device lists them; each interrupt line is an interrupt type of its own
/// with one vector, level-triggered, as VFIO has it for platform devices. It shows that neither the
/// protocol core nor a device's core knows a bus.
///
/// Confined to the loop of its server.
public final class PlatformFunction: ServedDevice {
  /// What clients are told.
  public let layout: DeviceLayout
  private let device: any PlatformDevice
  private let regions: [Region]
  private var services: DeviceServices?

  /// Puts `device` on a bus of the given byte order.
  ///
  /// - Throws: `EINVAL` when a region is empty.
  public init(_ device: any PlatformDevice, endianness: Endianness = .little) throws(Errno) {
    self.device = device
    var regions: [Region] = []
    for region in device.platformRegions {
      let handler: any RegionHandler =
        switch endianness {
        case .little: region.handler
        case .big: ByteSwappingHandler(region.handler)
        }
      regions.append(try Region(byteCount: region.byteCount, handler: handler))
    }
    self.regions = regions
    layout = DeviceLayout(
      flags: [.platform, .reset],
      regions: device.platformRegions.map {
        RegionLayout(byteCount: $0.byteCount, rights: [.read, .write], paths: $0.paths)
      },
      interrupts: device.interruptLines.map { _ in
        InterruptLayout(count: 1, flags: [.eventfd, .maskable, .automasked])
      })
  }

  /// The region at `index`, nil beyond the last.
  public func region(at index: Int) -> Region? {
    regions.indices.contains(index) ? regions[index] : nil
  }

  /// Connects the device's lines to the interrupt types, then starts the device.
  public func start(_ services: DeviceServices) {
    self.services = services
    for (line, interrupts) in zip(device.interruptLines, services.interrupts) {
      line.connect { interrupts.setLevel($0) }
    }
    device.start(services)
  }

  /// Resets the device and takes its lines' levels anew.
  public func reset(_ kind: ResetKind) {
    device.reset(kind)
    guard let services else { return }
    for (line, interrupts) in zip(device.interruptLines, services.interrupts) {
      interrupts.resetBusState()
      if line.isAsserted { interrupts.setLevel(true) }
    }
  }

  /// Asks the device to be quiet.
  public func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    device.quiesce(reason, completion)
  }

  /// Lets the device work again.
  public func resume() { device.resume() }
}
