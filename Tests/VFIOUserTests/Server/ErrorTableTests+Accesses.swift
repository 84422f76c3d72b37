import CVFIOUserLinux
import Testing

@testable import VFIOUser

/// Faults of region accesses.
extension ErrorTableTests {
  private static func reads(_ accesses: [(region: UInt32, offset: UInt64, count: UInt32)]) -> Fault
  {
    let payloads = accesses.map { TestPeer.readPayload($0.region, $0.offset, $0.count) }
    return { bench in
      for payload in payloads { try bench.fault(.regionRead, payload) }
    }
  }

  private static func writes(
    _ accesses: [(region: UInt32, offset: UInt64, count: Int)]
  ) -> Fault {
    let payloads = accesses.map {
      TestPeer.writePayload($0.region, $0.offset, [UInt8](repeating: 0x5a, count: $0.count))
    }
    return { bench in
      for payload in payloads { try bench.fault(.regionWrite, payload) }
      #expect(!bench.rig.device.memory.bytes.contains(0x5a))
    }
  }

  /// Places in region 6 of accesses of 8 bytes that two of its ranges hold, and not only the device's loop.
  private static let spanningPlaces: [UInt64] = [25, 28, 31, 57, 60, 63]

  /// A bench whose device has ranges on another loop, which nobody runs: no handler may be called.
  private static func benchWithOtherLoop(_ bench: FaultBench) throws -> FaultBench {
    try FaultBench(bench.answer, remoteLoop: EventLoop(polling: .never))
  }

  private static func expectNoWrites(_ bench: FaultBench) {
    let device = bench.rig.device
    for memory in [device.remote, device.remoteToo, device.besideRemote] {
      #expect(memory.writeCount == 0)
    }
  }

  static let accessFaults: [String: Fault] = [
    "REGION_READ: truncated": { try $0.truncated(.regionRead, TestPeer.readPayload(0, 0, 4)) },
    "REGION_READ: surplus bytes": { bench in
      try bench.fault(.regionRead, TestPeer.readPayload(0, 0, 4) + [0])
      try bench.fault(.regionRead, TestPeer.writePayload(0, 0, [1, 2, 3, 4]))
    },
    "REGION_READ: count above the transfer limit": reads([
      (0, 0, (1 << 20) + 1), (0, 0, .max), (4, 0, .max),
    ]),
    "REGION_READ: no such region": reads([(8, 0, 4), (0x8000_0000, 0, 4), (.max, 0, 0)]),
    "REGION_READ: region of no bytes": reads([(1, 0, 1), (1, 0, 0)]),
    "REGION_READ: region without the read right": reads([(7, 0, 4)]),
    "REGION_READ: past the end of the region": reads([
      (0, 4096, 1), (0, 4093, 4), (0, 0, 4097), (3, 256, 1), (0, 1 << 40, 4),
    ]),
    "REGION_READ: offset and count overflow": reads([
      (0, .max, 4), (0, .max, 1), (0, .max - 3, 8),
    ]),
    "REGION_READ: the device fails the access": reads([(5, 0, 4)]),
    "REGION_READ: the device drops the deferred reply": { bench in
      try bench.rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
      try bench.rig.work()
      bench.rig.device.slow.replies = []
      try bench.check(try bench.rig.turn())
    },
    "REGION_READ: a reset voids the deferred reply": { bench in
      try bench.rig.peer.send(.regionRead, TestPeer.readPayload(2, 0, 4))
      try bench.rig.work()
      try bench.rig.peer.send(.deviceReset)
      let voided = try bench.rig.turn()
      #expect(try bench.rig.turn()?.header.command == .deviceReset)
      bench.rig.device.slow.replies[0].complete(with: [1])
      try bench.check(voided)
    },
    "REGION_READ: across the ranges of several loops": { bench in
      let other = try benchWithOtherLoop(bench)
      for place in spanningPlaces {
        try other.fault(.regionRead, TestPeer.readPayload(6, place, 8))
      }
      try other.fault(.regionRead, TestPeer.readPayload(6, 0, 128))
    },
    "REGION_READ: descriptors": { bench in
      try bench.fault(.regionRead, TestPeer.readPayload(0, 0, 4), descriptors: 1)
    },
    "REGION_WRITE: truncated": { bench in
      try bench.truncated(.regionWrite, TestPeer.writePayload(0, 0, [1, 2, 3, 4]))
    },
    "REGION_WRITE: less data than count": { bench in
      for count in 0..<4 {
        try bench.fault(
          .regionWrite, TestPeer.readPayload(0, 0, 4) + [UInt8](repeating: 1, count: count))
      }
      try bench.fault(.regionWrite, TestPeer.readPayload(0, 0, .max) + [1])
    },
    "REGION_WRITE: more data than count": { bench in
      try bench.fault(.regionWrite, TestPeer.writePayload(0, 0, [1, 2]) + [3])
    },
    "REGION_WRITE: count above the transfer limit": { bench in
      var options = DeviceOptions()
      options.transferLimit = 4096
      let small = try FaultBench(bench.answer, options: options)
      let data = [UInt8](repeating: 0x5a, count: 4097)
      try small.fault(.regionWrite, TestPeer.writePayload(4, 0, data))
      try small.fault(.regionRead, TestPeer.readPayload(4, 0, 4097))
      try small.rig.write(4, 0, Array(data.dropLast()))
    },
    "REGION_WRITE: no such region": writes([(8, 0, 4), (.max, 0, 0)]),
    "REGION_WRITE: region of no bytes": writes([(1, 0, 1), (1, 0, 0)]),
    "REGION_WRITE: region without the write right": writes([(3, 0, 4), (3, 0, 0)]),
    "REGION_WRITE: past the end of the region": writes([
      (0, 4096, 1), (0, 4093, 4), (0, 0, 4097), (0, 1 << 40, 4),
    ]),
    "REGION_WRITE: offset and count overflow": writes([
      (0, .max, 4), (0, .max, 1), (0, .max - 3, 8),
    ]),
    "REGION_WRITE: the device fails the access": writes([(5, 0, 4)]),
    "REGION_WRITE: across the ranges of several loops": { bench in
      let other = try benchWithOtherLoop(bench)
      let data = [UInt8](repeating: 0x5a, count: 8)
      for place in spanningPlaces {
        try other.fault(.regionWrite, TestPeer.writePayload(6, place, data))
      }
      expectNoWrites(other)
    },
    "REGION_WRITE: descriptors": { bench in
      try bench.fault(.regionWrite, TestPeer.writePayload(0, 0, [0x5a]), descriptors: 1)
      #expect(bench.rig.device.memory.bytes[0] == 0)
    },
  ]

  // MARK: Several writes in one message

  private static let good = RegionWriteMulti.Entry(
    offset: RegionOffset(0), region: 0, count: 1, data: 0x5a)

  /// A good write before a bad one, and after it: neither may happen.
  private static func refusedWrites(
    _ bad: [(region: UInt32, offset: UInt64, count: UInt32)]
  ) -> Fault {
    { bench in
      for write in bad {
        let entry = RegionWriteMulti.Entry(
          offset: RegionOffset(write.offset), region: write.region, count: write.count, data: 1)
        try bench.fault(RegionWriteMulti([good, entry, good]))
      }
      #expect(bench.rig.device.memory.bytes[0] == 0)
    }
  }

  static let multipleWriteFaults: [String: Fault] = [
    "REGION_WRITE_MULTI: not negotiated": { bench in
      try bench.rig.hangUp()
      try bench.rig.reconnect(nil)
      try bench.fault(RegionWriteMulti([good]))
    },
    "REGION_WRITE_MULTI: truncated": { bench in
      try bench.truncated(.regionWriteMulti, RegionWriteMulti([good, good]).encodedPayload())
      #expect(bench.rig.device.memory.bytes[0] == 0)
    },
    "REGION_WRITE_MULTI: no writes": { try $0.fault(RegionWriteMulti([])) },
    "REGION_WRITE_MULTI: count is not the number of writes": { bench in
      let payload = RegionWriteMulti([good, good]).encodedPayload()
      for count: UInt32 in [0, 1, 3, .max] {
        try bench.fault(.regionWriteMulti, try patched(payload, count, at: 0))
      }
      try bench.fault(.regionWriteMulti, try patched(payload, 1 << 31, at: 4))
      try bench.fault(.regionWriteMulti, payload + [0])
    },
    "REGION_WRITE_MULTI: write of more than 8 bytes": refusedWrites([(0, 0, 9), (0, 0, .max)]),
    "REGION_WRITE_MULTI: no such region": refusedWrites([(8, 0, 1), (.max, 0, 0), (1, 0, 1)]),
    "REGION_WRITE_MULTI: region without the write right": refusedWrites([(3, 0, 1)]),
    "REGION_WRITE_MULTI: past the end of the region": refusedWrites([
      (0, 4096, 1), (0, 4093, 4), (0, 1 << 40, 1),
    ]),
    "REGION_WRITE_MULTI: offset and count overflow": refusedWrites([(0, .max, 8), (0, .max, 2)]),
    "REGION_WRITE_MULTI: write across the ranges of several loops": { bench in
      let other = try benchWithOtherLoop(bench)
      for place in spanningPlaces {
        let entry = RegionWriteMulti.Entry(
          offset: RegionOffset(place), region: 6, count: 8, data: 1)
        try other.fault(RegionWriteMulti([good, entry, good]))
      }
      expectNoWrites(other)
      #expect(other.rig.device.memory.bytes[0] == 0)
    },
    "REGION_WRITE_MULTI: the device fails a write": { bench in
      let failing = RegionWriteMulti.Entry(
        offset: RegionOffset(0), region: 5, count: 4, data: 0)
      try bench.fault(RegionWriteMulti([good, failing, good]))
      #expect(bench.rig.device.memory.bytes[0] == 0x5a)
    },
    "REGION_WRITE_MULTI: descriptors": { bench in
      try bench.fault(RegionWriteMulti([good]), descriptors: 1)
    },
  ]
}
