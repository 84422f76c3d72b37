import DeviceModel
import NVMe

// Source: NVMe 1.4, section 5.15.

extension AdminExecutor {
  private enum Structure {
    static let namespace: UInt8 = 0x00
    static let controller: UInt8 = 0x01
    static let activeNamespaces: UInt8 = 0x02
    static let namespaceDescriptors: UInt8 = 0x03
  }

  func identify(_ request: NVMeRequest) {
    let entry = request.entry
    switch UInt8(truncatingIfNeeded: entry.dword10) {
    case Structure.controller: answer(request, identifyController().bytes)
    case Structure.namespace:
      guard let namespace = namespaces[entry.namespaceIdentifier] else {
        return refuse(request, .invalidNamespaceOrFormat, at: 4)
      }
      answer(request, identify(namespace).bytes)
    case Structure.activeNamespaces:
      guard entry.namespaceIdentifier < 0xffff_fffe else {
        return refuse(request, .invalidNamespaceOrFormat, at: 4)
      }
      answer(
        request,
        Self.list(
          namespaces.all.map(\.identifier).filter { $0 > entry.namespaceIdentifier }))
    case Structure.namespaceDescriptors:
      guard let namespace = namespaces[entry.namespaceIdentifier] else {
        return refuse(request, .invalidNamespaceOrFormat, at: 4)
      }
      answer(request, descriptors(of: namespace))
    default: refuse(request, .invalidField, at: 40)
    }
  }

  /// A page of identifiers, ended by a 0 where there is room.
  static func list(_ identifiers: [UInt32]) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    for (index, identifier) in identifiers.prefix(1024).enumerated() {
      for byte in 0..<4 {
        page[index * 4 + byte] = UInt8(truncatingIfNeeded: identifier >> UInt32(byte * 8))
      }
    }
    return page
  }

  private func identifyController() -> IdentifyController {
    var data = IdentifyController()
    data.vendor = function.hardware.identity.vendor
    data.subsystemVendor = function.hardware.identity.subsystemVendor
    data.serialNumber = controller.settings.serialNumber
    data.modelNumber = ControllerSettings.modelNumber
    data.firmwareRevision = ControllerSettings.firmwareRevision
    data.arbitrationBurst = 6
    data.maximumTransferShift = controller.settings.limits.transferShift
    data.version = 0x0001_0400
    // Namespace Attribute Notices.
    data.asynchronousEventsSupported = 1 << 8
    data.controllerType = 1
    // Format NVM, Doorbell Buffer Config.
    data.adminCommandSupport = 1 << 1 | 1 << 8
    data.abortCommandLimit = 3
    data.asynchronousEventRequestLimit = UInt8(AsynchronousEvents.limit - 1)
    // One slot, read only.
    data.firmwareUpdates = 1 | 1 << 1
    // Commands Supported and Effects, extended data.
    data.logPageAttributes = 1 << 1 | 1 << 2
    data.errorLogPageEntries = UInt8(ErrorLog.capacity - 1)
    data.warningTemperature = 343
    data.criticalTemperature = 373
    data.keepAliveSupport = KeepAliveTimer.granularity
    data.submissionQueueEntrySize = 0x66
    data.completionQueueEntrySize = 0x44
    data.namespaceCount = UInt32(namespaces.all.count)
    // Compare, Write Uncorrectable, Dataset Management, Write Zeroes, Timestamp, Verify, Copy.
    data.commandSupport = 1 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 8
    // Present where a storage keeps writes back; Flush takes the broadcast identifier.
    data.volatileWriteCache = (namespaces.haveVolatileCache ? 1 : 0) | 3 << 1
    data.copyFormatSupport = 1
    // SGLs without alignment; bit buckets; longer than the data.
    data.sglSupport = 1 | 1 << 16 | 1 << 18
    data.setQualifiedName("nqn.2026-01.swift-vfio-user:nvme:\(controller.settings.serialNumber)")
    data.setMaximumPower(2500)
    return data
  }

  private func identify(_ namespace: NVMeNamespace) -> IdentifyNamespace {
    var data = IdentifyNamespace()
    let traits = namespace.storage.traits
    data.blockCount = namespace.blockCount
    data.capacity = namespace.blockCount
    data.utilization = namespace.blockCount
    // Optimal I/O fields; the space of deallocated blocks goes back where the storage can do it.
    data.features = 1 << 4
    data.formatCount = 1
    data.formattedSize = namespace.blockShift == 9 ? 0 : 1
    // A storage that takes larger blocks alone has the second format alone.
    data.setFormat(0, blockShift: traits.blockByteCount > 512 ? 0 : 9, performance: 1)
    data.setFormat(1, blockShift: 12, performance: 0)
    // Deallocated blocks read zeros, and Write Zeroes deallocates.
    data.deallocateFeatures = traits.canDiscard ? 0x9 : 0
    let preferred = UInt16(
      clamping: max(traits.preferredByteCount >> namespace.blockShift, 1) - 1)
    data.preferredWriteGranularity = preferred
    data.preferredWriteAlignment = preferred
    data.preferredDeallocateGranularity = preferred
    data.preferredDeallocateAlignment = preferred
    let limits = controller.settings.limits
    // No more than 128 KiB for the sake of large transfers alone: drivers in user space split there.
    let optimal = min(limits.transferByteCount, max(131_072, traits.preferredByteCount))
    data.optimalWriteByteCount = UInt16(clamping: max(optimal >> namespace.blockShift, 1) - 1)
    data.maximumSourceRangeLength = UInt16(limits.copyRangeBlockCount)
    data.maximumCopyLength = UInt32(limits.copyBlockCount)
    data.maximumSourceRangeCount = UInt8(limits.copyRangeCount - 1)
    data.attributes = namespace.isReadOnly ? 1 : 0
    data.extendedUniqueIdentifier = namespace.extendedUniqueIdentifier
    return data
  }

  /// The Namespace Identification Descriptor list: the EUI64.
  private func descriptors(of namespace: NVMeNamespace) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    page[0] = 1
    page[1] = 8
    for index in 0..<8 {
      page[4 + index] = UInt8(
        truncatingIfNeeded: namespace.extendedUniqueIdentifier >> UInt64(56 - index * 8))
    }
    return page
  }
}
