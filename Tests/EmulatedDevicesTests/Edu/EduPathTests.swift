import Glibc
import Testing

@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// `edu` reached over a descriptor: what its registers do is the same.
@Suite("edu over a descriptor")
struct EduPathTests {
  @Test("edu asks for messages unless the knob says otherwise, and its manual says so")
  func knob() throws {
    #expect(try EduBench().function.layout.regions[0].paths.isEmpty)
    let paths = try EduBench("path=ioregionfd").function.layout.regions[0].paths
    #expect(
      paths == [
        RegionPath(
          offset: RegionOffset(0), byteCount: EduHardware.windowByteCount,
          kind: .ioregionfd(postsWrites: false))
      ])
    var knobs = try KnobValues(device: "edu", declaring: EduDevice.declaration.knobs)
    try knobs.set("path=ioregionfd")
    #expect(try EduDevice.declaration.manual(knobs: knobs).text().contains("ioregionfd 0"))
    #expect(try !EduDevice.declaration.manual().text().contains("ioregionfd 0"))
  }

  @Test("E1: accesses of every width give the same by message and over the descriptor")
  func sameAnswers() throws {
    let bench = try ServedBench { _, loop in
      var knobs = try KnobValues(device: "edu", declaring: EduDevice.declaration.knobs)
      try knobs.set("path=ioregionfd")
      return try PCIFunction(EduDevice.self, knobs: knobs, loop: loop)
    }
    let region = try bench.client.region(at: 0)
    let descriptors = try bench.client.ioDescriptors(region: region)
    let entry = try #require(descriptors.entries.first)
    let channel = try IORegionChannel(adopting: try descriptors.duplicate(at: 0))
    func perform(_ command: IORegionCommand) throws -> UInt64 {
      var progress = IORegionProgress()
      for _ in 0..<100 {
        switch channel.perform(command, &progress) {
        case .done(let value): return value
        case .interrupted: continue
        case .failed(let failure):
          Issue.record("\(failure)")
          return 0
        }
      }
      Issue.record("no answer")
      return 0
    }
    // The liveness register answers with the complement of what was written.
    _ = try perform(.write(0x1234_5678, at: 4, byteCount: 4, userData: entry.value))
    #expect(try region.readWord(at: RegionOffset(4), byteCount: 4) == 0xedcb_a987)
    for offset in [UInt64(0), 4, 8, 0x20, 0x24, 0x80, 0x88, 0x90, 0x98, 0x1000] {
      for byteCount in [1, 2, 4, 8] {
        let byMessage = try? region.readWord(at: RegionOffset(offset), byteCount: byteCount)
        let read = IORegionCommand.read(
          at: offset, byteCount: byteCount, userData: entry.value)
        // What a message answers with an error reads as all-ones.
        let allOnes = UInt64.max.truncated(toByteCount: byteCount)
        #expect(try perform(read) == byMessage ?? allOnes)
      }
    }
    #expect(try perform(.read(at: 0, byteCount: 4, userData: entry.value)) == 0x0100_00ed)
  }
}
