import Testing
import VFIOUser

@testable import KVMSupport

@Suite final class SoftwareInterruptControllerTests {
  private let controller: SoftwareInterruptController
  private let event: EventDescriptor
  private let resample: EventDescriptor

  init() throws {
    controller = try SoftwareInterruptController(cpuCount: 2)
    event = try EventDescriptor()
    resample = try EventDescriptor()
  }

  private func redirect(_ line: Int, to vector: UInt64, cpu: UInt64 = 0, masked: Bool = false) {
    controller.write(UInt64(0x11 + line * 2), at: 0, byteCount: 4)
    controller.write(cpu << 24, at: 0x10, byteCount: 4)
    controller.write(UInt64(0x10 + line * 2), at: 0, byteCount: 4)
    controller.write(vector | 1 << 15 | (masked ? 1 << 16 : 0), at: 0x10, byteCount: 4)
  }

  @Test("E6: a message reaches the CPU that it is for, also one that came before it was connected")
  func messages() throws {
    event.signal()
    let connection = try controller.connect(
      event.rawValue, to: .message(InterruptMessage(address: 0xfee0_1000, data: 0x41)))
    #expect(controller.take(cpu: 0) == nil)
    #expect(controller.take(cpu: 1) == 0x41)
    #expect(controller.take(cpu: 1) == nil)
    let changed = controller.connect([
      MessageRequest(
        .connection(connection), to: InterruptMessage(address: 0xfeef_f000, data: 0x42))
    ])
    #expect(try changed.map { try $0.get() } == [connection])
    event.signal()
    event.signal()
    #expect(controller.take(cpu: 0) == 0x42)
    #expect(controller.take(cpu: 1) == 0x42)
    #expect(controller.take(cpu: 0) == nil)
    controller.disconnect(connection)
    event.signal()
    #expect(controller.take(cpu: 0) == nil)
    #expect(event.consume() == 1)
  }

  @Test("E6: a level is taken once until it is ended, and then asked for again")
  func levels() throws {
    _ = try controller.connect(event.rawValue, to: .line(10, resample: resample.rawValue))
    redirect(10, to: 0x51)
    event.signal()
    #expect(controller.take(cpu: 0) == 0x51)
    event.signal()
    #expect(controller.take(cpu: 0) == nil)
    #expect(resample.consume() == nil)
    controller.end(0x51, cpu: 0)
    #expect(resample.consume() == 1)
    // The device, asked, had signalled again.
    #expect(controller.take(cpu: 0) == 0x51)
    controller.end(0x51, cpu: 0)
    #expect(controller.take(cpu: 0) == nil)
  }

  @Test("E6: an input that is masked waits")
  func masked() throws {
    _ = try controller.connect(event.rawValue, to: .line(5, resample: resample.rawValue))
    event.signal()
    #expect(controller.take(cpu: 0) == nil)
    redirect(5, to: 0x60, cpu: 1, masked: true)
    #expect(controller.take(cpu: 1) == nil)
    redirect(5, to: 0x60, cpu: 1)
    #expect(controller.take(cpu: 0) == nil)
    #expect(controller.take(cpu: 1) == 0x60)
  }

  @Test("The registers are those of an I/O APIC")
  func registers() {
    controller.write(1, at: 0, byteCount: 4)
    #expect(controller.read(at: 0x10, byteCount: 4) == 0x0017_0011)
    redirect(23, to: 0x77, cpu: 1)
    #expect(controller.read(at: 0x10, byteCount: 4) == 0x8077)
    controller.write(0x3f, at: 0, byteCount: 4)
    #expect(controller.read(at: 0x10, byteCount: 4) == 0x0100_0000)
  }

  @Test("There is no input beyond the 24")
  func limits() {
    #expect(throws: MachineError.self) {
      try controller.connect(event.rawValue, to: .line(24, resample: resample.rawValue))
    }
  }

  @Test("A wait ends when an interrupt comes, and when it is ended")
  func waiting() throws {
    _ = try controller.connect(
      event.rawValue, to: .message(InterruptMessage(address: 0xfee0_0000, data: 0x41)))
    event.signal()
    controller.wait(cpu: 0, timeout: .seconds(60))
    #expect(controller.take(cpu: 0) == 0x41)
    controller.wake(cpu: 0)
    controller.wait(cpu: 0, timeout: .seconds(60))
  }
}
