import CVFIOUserLinux
import Glibc
import Testing

@testable import VFIOUser

/// Faults of the commands about memory, in both directions.
extension ErrorTableTests {
  private static func map(
    _ address: UInt64 = 0x10000, _ byteCount: UInt64 = 0x4000,
    _ rights: DMARights = [.read, .write],
    offset: UInt64 = 0
  ) -> DMAMapRequest {
    DMAMapRequest(
      rights: rights, fileOffset: offset, address: DMAAddress(address), byteCount: byteCount)
  }

  private static func unmap(
    _ address: UInt64 = 0x10000, _ byteCount: UInt64 = 0x4000
  ) -> DMAUnmapRequest {
    DMAUnmapRequest(address: DMAAddress(address), byteCount: byteCount)
  }

  static let memoryFaults: [String: Fault] = [
    "DMA_MAP: truncated": { try $0.truncated(.dmaMap, map().encodedPayload()) },
    "DMA_MAP: surplus bytes": { try $0.fault(.dmaMap, map().encodedPayload() + [0]) },
    "DMA_MAP: argsz below the structure": { bench in
      for size: UInt32 in [0, 31] {
        try bench.fault(.dmaMap, try patched(map().encodedPayload(), size, at: 0))
      }
    },
    "DMA_MAP: unknown flags": { bench in
      for flags: UInt32 in [4, 7, 0x8000_0003] {
        try bench.fault(.dmaMap, try patched(map().encodedPayload(), flags, at: 4))
      }
    },
    "DMA_MAP: neither readable nor writeable": { bench in
      try bench.fault(map(0x10000, 4096, []))
      try bench.fault(map(0x10000, 4096, []), descriptors: 1)
    },
    "DMA_MAP: empty range": { try $0.fault(map(0x10000, 0), descriptors: 1) },
    "DMA_MAP: range leaves the address space": { bench in
      try bench.fault(map(.max, 2))
      try bench.fault(map(0x1000, .max))
      try bench.fault(map(0xffff_ffff_ffff_f000, 0x1001), descriptors: 1)
    },
    "DMA_MAP: range leaves what a file can have": { bench in
      let file = try SharedMemory(byteCount: 4096)
      for offset: UInt64 in [.max, .max - 4095, 1 << 63, (1 << 63) - 4095] {
        try bench.fault(
          .dmaMap, map(0x10000, 4096, offset: offset).encodedPayload(),
          sending: [file.rawDescriptor])
      }
    },
    "DMA_MAP: overlaps an existing range": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      for (address, count) in [(0x10000, 0x4000), (0x13fff, 1), (0xf000, 0x1001), (0, 1 << 40)] {
        try bench.fault(map(UInt64(address), UInt64(count)), descriptors: 1)
      }
    },
    "DMA_MAP: more ranges than max_dma_maps": { bench in
      var options = DeviceOptions()
      options.maximumDMAMapCount = 3
      let small = try FaultBench(bench.answer, options: options)
      for index in 0..<UInt64(3) { #expect(try small.rig.map(index << 12, 4096) == nil) }
      try small.fault(map(), descriptors: 1)
      #expect(try small.rig.unmap(0x1000, 4096) == nil)
      #expect(try small.rig.map(0x10000, 4096) == nil)
      try small.fault(map(0x20000))
    },
    "DMA_MAP: several descriptors": { try $0.fault(map(), descriptors: 2) },
    "DMA_MAP: descriptor that cannot be mapped": { bench in
      try bench.fault(map(0x10000, 4096, .read), descriptors: 1)
      let event = try EventDescriptor()
      try bench.fault(.dmaMap, map().encodedPayload(), sending: [event.rawValue])
    },
    "DMA_MAP: writeable range of a read-only descriptor": { bench in
      let memory = try SharedMemory(byteCount: 4096)
      let raw = open("/proc/self/fd/\(memory.rawDescriptor)", O_RDONLY | O_CLOEXEC)
      try #require(raw >= 0)
      let file = OwnedDescriptor(adopting: raw)
      for rights: DMARights in [.write, [.read, .write]] {
        try bench.fault(
          .dmaMap, map(0x10000, 4096, rights).encodedPayload(), sending: [file.rawValue])
      }
      #expect(try bench.rig.map(0x10000, 4096, .read, file: file.rawValue) == nil)
    },
    "DMA_UNMAP: truncated": { try $0.truncated(.dmaUnmap, unmap().encodedPayload()) },
    "DMA_UNMAP: surplus bytes": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      try bench.fault(.dmaUnmap, unmap().encodedPayload() + [0])
    },
    "DMA_UNMAP: argsz below the reply": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      for size: UInt32 in [0, 23] {
        try bench.fault(.dmaUnmap, try patched(unmap().encodedPayload(), size, at: 0))
      }
    },
    "DMA_UNMAP: unknown flags": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      for flags: UInt32 in [1, 2, 1 << 31] {
        try bench.fault(.dmaUnmap, try patched(unmap().encodedPayload(), flags, at: 4))
      }
    },
    "DMA_UNMAP: empty range": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      try bench.fault(unmap(0x10000, 0))
      try bench.fault(unmap(0, 0))
    },
    "DMA_UNMAP: range leaves the address space": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      try bench.fault(unmap(0x10000, .max))
      try bench.fault(unmap(.max, 2))
    },
    "DMA_UNMAP: part of a range": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      for (address, count) in [(0x10000, 0x3fff), (0x10001, 0x3fff), (0x12000, 1), (0x13fff, 2)] {
        try bench.fault(unmap(UInt64(address), UInt64(count)))
      }
      #expect(try bench.rig.unmap(0x10000, 0x4000) == nil)
    },
    "DMA_UNMAP: several ranges at once": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      #expect(try bench.rig.map(0x14000, 0x4000) == nil)
      try bench.fault(unmap(0x10000, 0x8000))
      try bench.fault(unmap(0, 1 << 40))
    },
    "DMA_UNMAP: nothing is mapped there": { bench in
      try bench.fault(unmap())
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      try bench.fault(unmap(0x14000, 0x4000))
      try bench.fault(unmap(0xc000, 0x4000))
    },
    "DMA_UNMAP: descriptor": { bench in
      #expect(try bench.rig.map(0x10000, 0x4000) == nil)
      try bench.fault(unmap(), descriptors: 1)
      #expect(bench.rig.host.table.count == 0)
    },
    "DMA_READ: sent by the client": { bench in
      for payload in [[], [UInt8](repeating: 0, count: 16)] {
        try bench.fault(.dmaRead, payload)
      }
      try bench.fault(.dmaRead, [], descriptors: 1)
    },
    "DMA_WRITE: sent by the client": { bench in
      try bench.fault(.dmaWrite, [UInt8](repeating: 0, count: 20))
      try bench.fault(.dmaWrite, [], descriptors: 1)
    },
    "DMA_READ: reply with an error": { bench in
      for number: UInt32 in [0, 14, .max] {
        try reply(bench, isRead: true) { header, _ in
          header.flags = [.reply, .error]
          header.errorNumber = number
        }
      }
    },
    "DMA_READ: reply with less or more data": { bench in
      for count in [0, 15, 16, 23, 25, 4096] {
        try reply(bench, isRead: true) { _, payload in
          payload = Array((payload + [UInt8](repeating: 1, count: 5000)).prefix(count))
        }
      }
    },
    "DMA_READ: reply for another place": { bench in
      for place in [0, 7, 8, 15] {
        try reply(bench, isRead: true) { _, payload in payload[place] ^= 1 }
      }
    },
    "DMA_WRITE: reply with an error": { bench in
      try reply(bench, isRead: false) { header, payload in
        header.flags = [.reply, .error]
        payload = []
      }
    },
    "DMA_WRITE: reply of another length": { bench in
      for count in [1, 8, 11, 13, 17, 24] {
        try reply(bench, isRead: false) { _, payload in
          payload = Array((payload + [UInt8](repeating: 0, count: 24)).prefix(count))
        }
      }
    },
    "DMA_WRITE: reply for another place": { bench in
      for place in [0, 7, 8, 11] {
        try reply(bench, isRead: false) { _, payload in payload[place] ^= 1 }
      }
    },
  ]

  /// Has the device access memory of the client, and answers with a reply that `change` has spoilt.
  private static func reply(
    _ bench: FaultBench, isRead: Bool,
    _ change: (inout MessageHeader, inout [UInt8]) -> Void
  ) throws {
    let rig = bench.rig
    if rig.host.table.count == 0 { #expect(try rig.map(0x10000, 4096) == nil) }
    let dma = try #require(rig.device.services).dma
    var failure: DMAError?
    var isDone = false
    if isRead {
      dma.read(at: DMAAddress(0x10010), byteCount: 8) {
        isDone = true
        if case .failure(let error) = $0 { failure = error }
      }
    } else {
      dma.write(at: DMAAddress(0x10010), bytes: [1, 2, 3, 4]) {
        isDone = true
        if case .failure(let error) = $0 { failure = error }
      }
    }
    let request = try #require(try rig.turn())
    var header = MessageHeader.reply(to: request.header)
    var payload =
      isRead ? request.payload + [1, 2, 3, 4, 5, 6, 7, 8] : Array(request.payload.prefix(12))
    change(&header, &payload)
    header.byteCount = UInt32(MessageHeader.byteCount + payload.count)
    try bench.raw(TestPeer.frame(header, payload))
    #expect(isDone)
    guard case .failsDevice(let errno) = bench.answer else { return }
    #expect(failure?.errno == errno)
  }
}
