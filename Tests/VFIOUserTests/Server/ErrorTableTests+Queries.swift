import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Faults of the commands that ask about the device, and of those that configure interrupts.
extension ErrorTableTests {
  private static let info = DeviceInfoRequest().encodedPayload()
  private static let region = RegionInfoRequest(index: 4, argumentSize: 4064).encodedPayload()
  private static let files = RegionIODescriptorsRequest(index: 0).encodedPayload()
  private static let irq = IRQInfoRequest(index: 2).encodedPayload()

  private static func patches(
    _ command: Command, _ payload: [UInt8], _ values: [UInt32], at offset: Int
  ) -> Fault {
    { bench in
      for value in values { try bench.fault(command, try patched(payload, value, at: offset)) }
    }
  }

  static let queryFaults: [String: Fault] = [
    "DEVICE_GET_INFO: truncated": { try $0.truncated(.deviceGetInfo, info) },
    "DEVICE_GET_INFO: argsz below the structure": patches(.deviceGetInfo, info, [0, 15], at: 0),
    "DEVICE_GET_INFO: surplus bytes": { bench in
      try bench.fault(.deviceGetInfo, info + [UInt8](repeating: 7, count: 4000))
    },
    "DEVICE_GET_INFO: fields that must be zero are not": { bench in
      try bench.fault(
        .deviceGetInfo, info.prefix(4) + [UInt8](repeating: 0xff, count: 12))
    },
    "DEVICE_GET_INFO: descriptors": { try $0.fault(.deviceGetInfo, info, descriptors: 1) },
    "DEVICE_GET_REGION_INFO: truncated": { try $0.truncated(.deviceGetRegionInfo, region) },
    "DEVICE_GET_REGION_INFO: argsz below the structure": patches(
      .deviceGetRegionInfo, region, [0, 31], at: 0),
    "DEVICE_GET_REGION_INFO: argsz below the capabilities": { bench in
      for size: UInt32 in [32, 79] {
        let short = try patched(region, size, at: 0)
        try bench.fault(.deviceGetRegionInfo, short)
        let reply = try bench.rig.call(.deviceGetRegionInfo, short)
        #expect(reply.payload.count == 32)
        #expect(reply.descriptors.isEmpty)
        #expect(try reply.payload.rawSpan.load(at: 0, as: UInt32.self) == 80)
      }
      let whole = try bench.rig.call(.deviceGetRegionInfo, try patched(region, 80, at: 0))
      #expect(whole.payload.count == 80)
      #expect(whole.descriptors.count == 1)
      for descriptor in whole.descriptors { close(descriptor) }
    },
    "DEVICE_GET_REGION_INFO: no such region": patches(
      .deviceGetRegionInfo, region, [8, 0x8000_0000, .max], at: 8),
    "DEVICE_GET_REGION_INFO: surplus bytes": { bench in
      let plain = RegionInfoRequest(index: 0, argumentSize: 4064).encodedPayload()
      try bench.fault(.deviceGetRegionInfo, plain + [UInt8](repeating: 7, count: 4032))
    },
    "DEVICE_GET_REGION_INFO: descriptors": { bench in
      try bench.fault(.deviceGetRegionInfo, region, descriptors: 1)
    },
    "DEVICE_GET_REGION_IO_FDS: truncated": { bench in
      try bench.truncated(.deviceGetRegionIODescriptors, files)
    },
    "DEVICE_GET_REGION_IO_FDS: argsz below the structure": patches(
      .deviceGetRegionIODescriptors, files, [0, 15], at: 0),
    "DEVICE_GET_REGION_IO_FDS: unknown flags": patches(
      .deviceGetRegionIODescriptors, files, [1, .max], at: 4),
    "DEVICE_GET_REGION_IO_FDS: count not zero": patches(
      .deviceGetRegionIODescriptors, files, [1, .max], at: 12),
    "DEVICE_GET_REGION_IO_FDS: no such region": patches(
      .deviceGetRegionIODescriptors, files, [8, .max], at: 8),
    "DEVICE_GET_REGION_IO_FDS: descriptors": { bench in
      try bench.fault(.deviceGetRegionIODescriptors, files, descriptors: 2)
    },
    "DEVICE_GET_IRQ_INFO: truncated": { try $0.truncated(.deviceGetIRQInfo, irq) },
    "DEVICE_GET_IRQ_INFO: argsz below the structure": patches(
      .deviceGetIRQInfo, irq, [0, 15], at: 0),
    "DEVICE_GET_IRQ_INFO: no such interrupt type": patches(
      .deviceGetIRQInfo, irq, [5, .max], at: 8),
    "DEVICE_GET_IRQ_INFO: surplus bytes": { bench in
      try bench.fault(.deviceGetIRQInfo, irq + [1, 2, 3])
    },
    "DEVICE_GET_IRQ_INFO: descriptors": { try $0.fault(.deviceGetIRQInfo, irq, descriptors: 1) },
  ]

  // MARK: Interrupts

  /// A SET_IRQS payload of these fields: argsz says what follows, unless given.
  private static func irqs(
    flags: UInt32, index: UInt32 = 2, start: UInt32 = 0, count: UInt32 = 1, data: [UInt8] = [],
    argumentSize: UInt32? = nil
  ) -> [UInt8] {
    let fields = [argumentSize ?? UInt32(20 + data.count), flags, index, start, count]
    return [UInt8](byteCount: 20) { bytes in
      for (place, field) in fields.enumerated() { try? bytes.store(field, at: 4 * place) }
    } + data
  }

  private static func refusedIRQs(_ payloads: [[UInt8]]) -> Fault {
    { bench in
      for payload in payloads { try bench.fault(.deviceSetIRQs, payload) }
    }
  }

  static let interruptFaults: [String: Fault] = [
    "DEVICE_SET_IRQS: truncated": { bench in
      try bench.truncated(.deviceSetIRQs, irqs(flags: 0x21))
      try bench.truncated(.deviceSetIRQs, irqs(flags: 0x22, count: 3, data: [1, 1, 1]))
    },
    "DEVICE_SET_IRQS: argsz below the structure": refusedIRQs([
      irqs(flags: 0x21, argumentSize: 0), irqs(flags: 0x21, argumentSize: 19),
    ]),
    "DEVICE_SET_IRQS: argsz below the booleans": refusedIRQs([
      irqs(flags: 0x22, count: 2, data: [1, 1], argumentSize: 21)
    ]),
    "DEVICE_SET_IRQS: unknown flags": refusedIRQs([
      irqs(flags: 0x61), irqs(flags: 0x8000_0021),
    ]),
    "DEVICE_SET_IRQS: no action or several": refusedIRQs(
      [0x01, 0x19, 0x31, 0x29, 0x39].map { irqs(flags: $0) }),
    "DEVICE_SET_IRQS: no kind of data or several": refusedIRQs(
      [0x20, 0x23, 0x25, 0x26, 0x27].map { irqs(flags: $0, data: [1]) }),
    "DEVICE_SET_IRQS: data with DATA_NONE": refusedIRQs([irqs(flags: 0x21, data: [1])]),
    "DEVICE_SET_IRQS: fewer or more booleans than vectors": refusedIRQs([
      irqs(flags: 0x22, count: 2, data: [1]), irqs(flags: 0x22, count: 2, data: [1, 1, 1]),
      irqs(flags: 0x22, count: 1, data: []), irqs(flags: 0x22, count: .max, data: [1]),
    ]),
    "DEVICE_SET_IRQS: no such interrupt type": refusedIRQs([
      irqs(flags: 0x21, index: 5), irqs(flags: 0x21, index: .max),
      irqs(flags: 0x21, index: 5, count: 0),
    ]),
    "DEVICE_SET_IRQS: vectors beyond the last": refusedIRQs([
      irqs(flags: 0x21, start: 8), irqs(flags: 0x21, start: 7, count: 2),
      irqs(flags: 0x21, count: 9), irqs(flags: 0x21, start: .max, count: 0),
      irqs(flags: 0x21, index: 1), irqs(flags: 0x24, start: 1, count: 8),
    ]),
    "DEVICE_SET_IRQS: start and count overflow": refusedIRQs([
      irqs(flags: 0x21, start: .max, count: 1), irqs(flags: 0x24, start: 2, count: .max),
    ]),
    "DEVICE_SET_IRQS: count zero, but not to disable": refusedIRQs([
      irqs(flags: 0x24, count: 0), irqs(flags: 0x22, count: 0), irqs(flags: 0x09, count: 0),
      irqs(flags: 0x11, count: 0), irqs(flags: 0x21, start: 1, count: 0),
    ]),
    "DEVICE_SET_IRQS: masks a type that is not maskable": refusedIRQs([
      irqs(flags: 0x09, index: 3), irqs(flags: 0x11, index: 3),
      irqs(flags: 0x0a, index: 3, data: [1]), irqs(flags: 0x14, index: 3),
    ]),
    "DEVICE_SET_IRQS: eventfd for a type without the eventfd flag": { bench in
      let event = try EventDescriptor()
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x24, index: 4), sending: [event.rawValue])
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x24, index: 4))
    },
    "DEVICE_SET_IRQS: descriptors without DATA_EVENTFD": { bench in
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x21), descriptors: 1)
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x22, data: [1]), descriptors: 1)
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x21, count: 0), descriptors: 1)
    },
    "DEVICE_SET_IRQS: fewer descriptors than vectors": { bench in
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x24, count: 2), descriptors: 1)
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x24, count: 8), descriptors: 7)
    },
    "DEVICE_SET_IRQS: more descriptors than vectors": { bench in
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x24), descriptors: 2)
    },
    "DEVICE_SET_IRQS: descriptor that is no eventfd": { bench in
      try bench.fault(.deviceSetIRQs, irqs(flags: 0x24), descriptors: 1)
      // The command changes nothing, though its first descriptor is an eventfd.
      let event = try EventDescriptor()
      let witness = try DescriptorWitness()
      try bench.fault(
        .deviceSetIRQs, irqs(flags: 0x24, count: 2), sending: [event.rawValue, witness.rawValue])
      #expect(witness.isOnlyHolder())
      try #require(bench.rig.device.services).interrupts[2].raise(0)
      #expect(event.consume() == nil)
    },
  ]

  // MARK: The device

  private static func feature(_ flags: UInt32, _ data: [UInt8] = []) -> [UInt8] {
    [UInt8](byteCount: 8) { bytes in
      try? bytes.store(UInt32(8 + data.count), at: 0)
      try? bytes.store(flags, at: 4)
    } + data
  }

  static let deviceFaults: [String: Fault] = [
    "DEVICE_RESET: payload": { bench in
      try bench.fault(.deviceReset, [0])
      #expect(!bench.rig.device.events.contains("reset device"))
    },
    "DEVICE_RESET: the device has no reset": { bench in
      let rigid = try FaultBench(bench.answer, flags: [])
      try rigid.fault(.deviceReset, [])
    },
    "DEVICE_RESET: descriptors": { try $0.fault(.deviceReset, [], descriptors: 1) },
    "DEVICE_FEATURE: truncated": { try $0.truncated(.deviceFeature, feature(0x1_0001)) },
    "DEVICE_FEATURE: argsz below the structure": patches(
      .deviceFeature, feature(0x1_0001), [0, 7], at: 0),
    "DEVICE_FEATURE: unknown flags": { bench in
      try bench.fault(.deviceFeature, feature(0x9_0001))
      try bench.fault(.deviceFeature, feature(0x8001_0001))
    },
    "DEVICE_FEATURE: no method": { try $0.fault(.deviceFeature, feature(1)) },
    "DEVICE_FEATURE: get and set at once": { try $0.fault(.deviceFeature, feature(0x3_0001)) },
    "DEVICE_FEATURE: feature that is not served": { bench in
      for index: UInt32 in [0, 1, 2, 6, 7, 8, 0xffff] {
        for method: UInt32 in [1 << 16, 1 << 17, 1 << 18, 7 << 16] {
          try bench.fault(.deviceFeature, feature(method | index, [0, 0, 0, 0, 0, 0, 0, 0]))
        }
      }
    },
    "DEVICE_FEATURE: descriptors": { try $0.fault(.deviceFeature, feature(1), descriptors: 1) },
    "MIG_DATA_READ: not served": { bench in
      try bench.fault(MigrationDataReadRequest(byteCount: 64))
      try bench.fault(.migrationDataRead, [])
    },
    "MIG_DATA_WRITE: not served": { bench in
      try bench.fault(MigrationData([1, 2, 3]))
      try bench.fault(.migrationDataWrite, [])
    },
  ]
}
