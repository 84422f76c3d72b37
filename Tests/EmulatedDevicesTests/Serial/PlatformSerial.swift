@testable import DeviceModel
@testable import EmulatedDevices
@testable import VFIOUser

/// The core of `serial` on a platform bus, each register in a 32-bit word of its own, as many
/// systems-on-chip have it.
final class PlatformSerial: PlatformDevice {
  let uart: UART16550
  let line = InterruptLine()
  let platformRegions: [PlatformRegion]
  var interruptLines: [InterruptLine] { [line] }

  init(port: CharacterPort, loop: EventLoop) throws {
    let registers = try RegisterBlock<UART16550Register>()
    uart = UART16550(
      registers: registers, interrupt: line, port: port, clock: DeviceClock(loop: loop))
    platformRegions = [
      PlatformRegion("registers", byteCount: 32, handler: WordHandler(registers))
    ]
  }

  func reset(_ kind: ResetKind) {
    uart.registers.reset(includingSticky: true)
    uart.reset()
  }

  func quiesce(_ reason: QuiesceReason, _ completion: QuiesceCompletion) -> Quiescence {
    uart.pause()
    return .done
  }

  func resume() { uart.resume() }
}

/// Byte registers as the low bytes of 32-bit words; only whole words are answered.
private final class WordHandler: RegionHandler {
  private let registers: AnyRegisterBlock

  init(_ registers: AnyRegisterBlock) { self.registers = registers }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard bytes.byteCount == 4, offset.rawValue % 4 == 0 else { return }
    var first = bytes._mutatingExtracting(0..<1)
    try registers.read(at: RegionOffset(offset.rawValue / 4), into: &first, access)
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard bytes.byteCount == 4, offset.rawValue % 4 == 0 else { return }
    try registers.write(
      at: RegionOffset(offset.rawValue / 4), from: bytes.extracting(0..<1), access)
  }
}
