import Testing

@testable import DeviceModel

@Suite("PCI configuration space")
struct PCIConfigurationSpaceTests {
  @Test("a write changes writable bits only, and a one clears what a one clears")
  func masks() {
    var space = PCIConfigurationSpace(byteCount: 256)
    space.define(at: 4, UInt16(0x8001), writable: 0x00f0, clearedByOne: 0x8000)
    space.write(UInt16(0x7fff), at: 4)
    #expect(space.load(at: 4, as: UInt16.self) == 0x80f1)
    space.write(UInt16(0x8000), at: 4)
    #expect(space.load(at: 4, as: UInt16.self) == 0x0001)
  }

  @Test("values are little-endian and accesses may cross registers and the end")
  func edges() {
    var space = PCIConfigurationSpace(byteCount: 256)
    space.define(at: 0xfc, UInt32(0x0403_0201), writable: .max)
    #expect(space.load(at: 0xfd, as: UInt16.self) == 0x0302)
    #expect(space.load(at: 0xfe, as: UInt32.self) == 0x0403)
    space.write(UInt32.max, at: 0xfe)
    #expect(space.load(at: 0xfc, as: UInt32.self) == 0xffff_0201)
    space.write(UInt32.max, at: 0x1000)
    #expect(space.byte(at: -1) == 0)
  }

  @Test("a reset keeps sticky bits, power-on does not")
  func reset() {
    var space = PCIConfigurationSpace(byteCount: 256)
    space.define(at: 8, UInt8(0x11), writable: 0xff, sticky: 0xf0)
    space.write(UInt8(0xee), at: 8)
    space.reset()
    #expect(space.byte(at: 8) == 0xe1)
    space.reset(includingSticky: true)
    #expect(space.byte(at: 8) == 0x11)
  }

  @Test("random writes never change a read-only bit and never trap", arguments: [1, 2, 3])
  func randomWrites(seed: UInt64) throws {
    let bench = try PCIBench(.everything())
    var generator = SeededGenerator(state: seed)
    let initial = bench.function.configuration
    for _ in 0..<4000 {
      let offset = Int.random(in: 0..<4096, using: &generator)
      let byteCount = min(4096 - offset, [1, 2, 3, 4, 8, 64].randomElement(using: &generator) ?? 1)
      let bytes = (0..<byteCount).map { _ in UInt8.random(in: 0...255, using: &generator) }
      try bench.write(PCIRegionIndex.configurationSpace, at: offset, bytes)
    }
    for offset in 0..<4096 {
      let readOnly = ~initial.changeable(at: offset)
      #expect(
        bench.function.configuration.byte(at: offset) & readOnly == initial.byte(at: offset)
          & readOnly)
    }
  }
}
