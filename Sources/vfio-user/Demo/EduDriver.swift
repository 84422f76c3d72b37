import DeviceModel
import DeviceProgram
import EmulatedDevices
import VFIOUser

/// A driver for `edu`, in user space, on top of the client library.
struct EduDriver {
  /// The size of the device's DMA buffer in bytes.
  static let bufferByteCount = 4096
  /// Where the buffer lies in the device's own view.
  private static let bufferAddress: UInt64 = 0x40000
  private static let patience = Duration.seconds(2)
  private static let pin = PCIInterruptIndex.intx.rawValue

  let client: DeviceClient
  private let registers: ClientRegion
  private let configuration: ClientRegion

  /// Takes the device and lets it reach memory.
  init(_ client: DeviceClient) throws(ClientError) {
    self.client = client
    registers = try client.region(at: 0)
    configuration = try client.region(at: PCIRegionIndex.configurationSpace)
    let command: UInt16 = try configuration.read(at: RegionOffset(4))
    // Memory space and bus master.
    try configuration.write(command | 0x6, at: RegionOffset(4))
  }

  /// Says who the device is, after checking that it answers as `edu` does.
  func identify() throws -> String {
    let vendor: UInt16 = try configuration.read(at: RegionOffset(0))
    let device: UInt16 = try configuration.read(at: RegionOffset(2))
    let identification = try read(.identification)
    try write(0x1234_5678, to: .liveness)
    let inverse = try read(.liveness)
    guard identification & 0xff == 0xed, inverse == 0xedcb_a987 else {
      throw ProgramError(.runtime, "this is no edu device")
    }
    return "\(String(vendor, radix: 16)):\(String(device, radix: 16)), edu version "
      + "\(identification >> 24).\(identification >> 16 & 0xff), alive"
  }

  /// Lets the device compute n!.
  func factorial(of number: UInt32) throws -> UInt32 {
    try write(number, to: .factorial)
    try wait("the factorial") { try read(.status) & 1 == 0 }
    return try read(.factorial)
  }

  /// Lets the device read client memory into its buffer.
  func copyToDevice(from address: UInt64, byteCount: Int) throws {
    try transfer(from: address, to: Self.bufferAddress, byteCount, direction: 0)
  }

  /// Lets the device write its buffer to client memory.
  func copyFromDevice(to address: UInt64, byteCount: Int) throws {
    try transfer(from: Self.bufferAddress, to: address, byteCount, direction: 2)
  }

  /// Has the device raise its interrupt, waits for it, and acknowledges it.
  ///
  /// - Returns: what the interrupt status register said.
  func takeInterrupt(causes: UInt32) throws -> UInt32 {
    let interrupts = try client.enableInterrupts(index: Self.pin, count: 1)
    defer { try? client.disableInterrupts(index: Self.pin) }
    try write(causes, to: .interruptRaise)
    guard interrupts.first?.wait(timeout: Self.patience) != nil else {
      throw ProgramError(.runtime, "no interrupt came")
    }
    let status = try read(.interruptStatus)
    try write(status, to: .interruptAcknowledge)
    // A level-triggered interrupt masks itself when it is delivered.
    try client.unmaskInterrupts(index: Self.pin)
    guard interrupts.first?.wait(timeout: .milliseconds(2)) == nil else {
      throw ProgramError(.runtime, "the interrupt came again after it was acknowledged")
    }
    return status
  }

  private func transfer(
    from source: UInt64, to destination: UInt64, _ byteCount: Int, direction: UInt64
  ) throws {
    try registers.write(source, at: offset(.dmaSource))
    try registers.write(destination, at: offset(.dmaDestination))
    try registers.write(UInt64(byteCount), at: offset(.dmaCount))
    try registers.write(1 | direction, at: offset(.dmaCommand))
    // Waiting in calls of the client also answers the device's accesses by message.
    try wait("the transfer") {
      let command: UInt64 = try registers.read(at: offset(.dmaCommand))
      return command & 1 == 0
    }
  }

  private func wait(_ what: String, until isDone: () throws -> Bool) throws {
    let clock = ContinuousClock()
    let deadline = clock.now + Self.patience
    while try !isDone() {
      guard clock.now < deadline else {
        throw ProgramError(.runtime, "\(what) did not end within \(Self.patience)")
      }
    }
  }

  private func read(_ register: EduRegister) throws -> UInt32 {
    try registers.read(at: offset(register))
  }

  private func write(_ value: UInt32, to register: EduRegister) throws {
    try registers.write(value, at: offset(register))
  }

  private func offset(_ register: EduRegister) -> RegionOffset {
    RegionOffset(UInt64(register.declaration.offset))
  }
}
