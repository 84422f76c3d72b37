import Testing

@testable import VFIOUser

@Suite("Device and interrupt messages")
struct DeviceMessageTests {
  @Test("GET_INFO has the bytes of the specification")
  func deviceInfo() throws {
    try expectGolden(DeviceInfoRequest(), hex("10000000 00000000 00000000 00000000"))
    try expectGolden(
      DeviceInfo(flags: [.reset, .pci], regionCount: 9, interruptTypeCount: 5),
      hex("10000000 03000000 09000000 05000000"))
  }

  @Test("E17: GET_INFO cut or with a small argsz is refused, a larger one is not")
  func deviceInfoFaults() throws {
    let request = DeviceInfoRequest().encodedPayload()
    expectRefusedWhenTruncated(request, as: DeviceInfoRequest.self)
    expectRefusedWhenTruncated(request, as: DeviceInfo.self)
    #expect(fault(try patched(request, 15, at: 0), as: DeviceInfoRequest.self) == .badArgumentSize)
    let large = try patched(request, 4096, at: 0)
    #expect(try decode(large + [0, 0], as: DeviceInfoRequest.self).argumentSize == 4096)
  }

  @Test("GET_IRQ_INFO has the bytes of the specification")
  func interruptInfo() throws {
    try expectGolden(IRQInfoRequest(index: 2), hex("10000000 00000000 02000000 00000000"))
    try expectGolden(
      IRQInfo(index: 2, flags: [.eventfd, .maskable, .noresize], count: 2048),
      hex("10000000 0b000000 02000000 00080000"))
    expectRefusedWhenTruncated(IRQInfoRequest(index: 2).encodedPayload(), as: IRQInfoRequest.self)
    #expect(
      fault(hex("0f000000 00000000 02000000 00000000"), as: IRQInfoRequest.self)
        == .badArgumentSize)
  }

  @Test("SET_IRQS has the bytes of the specification, for each kind of data")
  func setIRQs() throws {
    try expectGolden(
      SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 1, count: 3),
      hex("14000000 24000000 02000000 01000000 03000000"))
    try expectGolden(
      SetIRQs(action: .mask, selection: .flagged([1, 0, 1]), index: 1, start: 0, count: 3),
      hex("17000000 0a000000 01000000 00000000 03000000 010001"))
    try expectGolden(
      SetIRQs(action: .unmask, selection: .all, index: 0, start: 0, count: 1),
      hex("14000000 11000000 00000000 00000000 01000000"))
    try expectGolden(
      SetIRQs.disable(index: 2), hex("14000000 21000000 02000000 00000000 00000000"))
    #expect(SetIRQs.disable(index: 2).disablesAll)
  }

  @Test("SET_IRQS takes the kernel's form, with descriptor numbers behind the structure")
  func setIRQsKernelForm() throws {
    let bytes = hex("1c000000 24000000 02000000 00000000 02000000 03000000 04000000")
    #expect(
      try decode(bytes)
        == SetIRQs(action: .trigger, selection: .eventfds, index: 2, start: 0, count: 2))
  }

  @Test("E17: SET_IRQS must have exactly one action and one kind of data")
  func setIRQsFlags() throws {
    let golden = hex("14000000 24000000 02000000 00000000 01000000")
    for flags: UInt32 in 0..<64 {
      let bytes = try patched(golden, flags, at: 4)
      let isValid = (flags & 7).nonzeroBitCount == 1 && (flags & 0x38).nonzeroBitCount == 1
      // Booleans need data that this message does not have.
      #expect((fault(bytes, as: SetIRQs.self) == nil) == (isValid && flags & 7 != 2))
    }
    for bit in 6..<32 {
      let bytes = try patched(golden, 0x24 | 1 << UInt32(bit), at: 4)
      #expect(fault(bytes, as: SetIRQs.self) == .badFlags)
    }
  }

  @Test("E17: SET_IRQS of a wrong length, argsz or range is refused")
  func setIRQsFaults() throws {
    let booleans = hex("17000000 0a000000 01000000 00000000 03000000 010001")
    expectRefusedWhenTruncated(booleans, as: SetIRQs.self)
    #expect(fault(booleans + [0], as: SetIRQs.self) == .badCount)
    #expect(fault(try patched(booleans, 22, at: 0), as: SetIRQs.self) == .badArgumentSize)
    let none = hex("14000000 21000000 02000000 00000000 02000000")
    #expect(fault(try patched(none, 19, at: 0), as: SetIRQs.self) == .badArgumentSize)
    #expect(fault(none + [0], as: SetIRQs.self) == .oversized)
    #expect(fault(try patched(none, .max, at: 12), as: SetIRQs.self) == .badRange)
    #expect(fault(try patched(booleans, .max, at: 16), as: SetIRQs.self) == .badCount)
    let disable = SetIRQs.disable(index: 2).encodedPayload()
    #expect(fault(try patched(disable, 1, at: 12), as: SetIRQs.self) == .badCount)
    #expect(fault(try patched(disable, 0x09, at: 4), as: SetIRQs.self) == .badCount)
    #expect(fault(try patched(disable, 0x24, at: 4), as: SetIRQs.self) == .badCount)
    #expect(fault(try patched(disable, 0x22, at: 4), as: SetIRQs.self) == .badCount)
  }
}
