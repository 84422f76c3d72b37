import DeviceModel
import NVMe

/// What a driver can discover about `nvme`.
enum NVMeHardware {
  /// The largest memory page, as a power of two of 4 KiB: 64 KiB.
  static let maximumPageShift: UInt8 = 4
  static let doorbellsName = "doorbells"
  private static let vectorTableOffset: UInt64 = 0x2000
  private static let pendingBitsOffset: UInt64 = 0x3000

  static func describe(_ knobs: KnobValues) throws -> PCIHardware {
    let blockSize = knobs[NVMeKnobs.blockSize]
    guard blockSize == 512 || blockSize == 4096 else {
      throw KnobError(
        code: .outOfRange, description: "nvme: block-size takes 512 or 4K, not \(blockSize)")
    }
    guard knobs[NVMeKnobs.serial].utf8.count <= 20 else {
      throw KnobError(
        code: .outOfRange, description: "nvme: serial takes at most 20 characters")
    }
    let capabilities = capabilities(queueDepth: knobs[NVMeKnobs.queueDepth])
    // A vector for the admin queue and one for each I/O queue.
    let vectorCount = knobs[NVMeKnobs.queues] + 1
    return PCIHardware(
      identity: PCIIdentity(
        vendor: 0x1234, device: 0x4e56, subsystemVendor: 0x1234, subsystem: 0x4e56,
        revision: 0x01, classCode: .nonVolatileMemoryExpress),
      bars: [
        BAR(
          0, .memory64, byteCount: 0x4000,
          [
            try .registers(
              NVMeRegister.self, byteCount: 0x1000,
              adjust: { register, declaration in
                if register == .capabilities { declaration.resetValue = capabilities.rawValue }
              }),
            .sharedMemory(
              doorbellsName, at: ControllerRegisterOffset.doorbells, byteCount: 0x1000,
              "Doorbells, 4 bytes each: of queue 0 the submission tail and the completion head, then of queue 1."
            ),
          ])
      ],
      interrupts: PCIInterrupts(
        pin: .a,
        msix: .init(
          vectorCount: vectorCount, table: .bar(0, at: vectorTableOffset),
          pendingBits: .bar(0, at: pendingBitsOffset))),
      capabilities: [.powerManagement(), .pciExpress()])
  }

  private static func capabilities(queueDepth: Int) -> ControllerCapabilities {
    var capabilities = ControllerCapabilities(rawValue: 0)
    capabilities.maximumQueueEntryCount = queueDepth
    capabilities.requiresContiguousQueues = true
    capabilities.timeout = 60
    capabilities.supportsSubsystemReset = true
    capabilities.commandSets = 1
    capabilities.maximumPageShift = maximumPageShift
    return capabilities
  }
}
