import Testing

@testable import DeviceModel
@testable import VFIOUser

@Suite("PCI functions with several loops")
struct PCILoopTests {
  private static let hardware = PCIHardware(
    identity: PCIIdentity(vendor: 0x1234, device: 0x0007),
    bars: [
      BAR(
        0, .memory64, byteCount: 16384,
        [
          .sharedMemory("doorbells", at: 4096, byteCount: 4096, "Doorbells."),
          .sharedMemory("frames", at: 8192, byteCount: 4096, "Frames."),
        ])
    ])

  @Test("E2: memory that is withheld is not offered for mapping, and still holds its bytes")
  func withheld() throws {
    var memory: SharedDeviceMemory?
    let bench = try PCIBench(Self.hardware) { function in
      try function.withholdMapping(of: "doorbells", in: 0)
      memory = try function.sharedMemory("doorbells", in: 0)
    }
    let mapping = try #require(bench.function.layout.regions[0].mapping)
    #expect(mapping.areas.map(\.offset.rawValue) == [8192])
    let region = try #require(bench.function.region(at: 0))
    try region.write(at: RegionOffset(4100), from: [1, 2, 3, 4].rawSpan)
    #expect(try memory?.load32(at: 4) == 0x0403_0201)
  }

  @Test("E2: a BAR whose only shared memory is withheld offers nothing for mapping")
  func allWithheld() throws {
    let bench = try PCIBench(Self.hardware) { function in
      try function.withholdMapping(of: "doorbells", in: 0)
      try function.withholdMapping(of: "frames", in: 0)
    }
    #expect(bench.function.layout.regions[0].mapping == nil)
  }

  @Test("E9: a worker loop runs what is posted on a thread of its own, and ends with its function")
  func worker() throws {
    let done = try EventDescriptor()
    let ended: EventLoop
    do {
      let bench = try PCIBench(Self.hardware) { _ in }
      let loop = try bench.function.makeWorkerLoop(named: "queues")
      #expect(!loop.isCurrent)
      #expect(loop.polling == bench.function.loop.polling)
      let box = EventDescriptorBox(try done.duplicate())
      loop.post { if loop.isRunningHere { box.event.signal() } }
      #expect(done.wait(timeout: .seconds(60)) == 1)
      ended = loop
    }
    #expect(ended.isCurrent, "no thread runs it any more")
  }

  @Test("E6: a trigger raised on a worker loop reaches the client")
  func trigger() throws {
    let bench = try PCIBench(.everything()) { _ in }
    let loop = try bench.function.makeWorkerLoop(named: "queues")
    let msix = try #require(bench.capabilities.msix)
    try bench.store(msix + 2, UInt16(0x8000))
    try bench.setCommand(.busMaster)
    let event = try bench.assign(.msix, 1..<2)[0]
    let trigger = bench.function.interruptTrigger(vector: 1)
    loop.post { trigger.raise() }
    var count: UInt64 = 0
    for _ in 0..<6000 where count == 0 {
      try bench.function.loop.runOnce(timeout: .milliseconds(10))
      count = event.count
    }
    #expect(count == 1)
  }
}
