import CVFIOUserLinux
import DeviceModel
import DeviceProgram
import VFIOUser

/// The steps of the demonstration.
///
/// Device and driver are connected by a socket pair: there is no file to remove, and the device's
/// process ends when this one does, however it ends.
struct Demo {
  private let clock = ContinuousClock()

  /// Runs all steps, printing each with its time.
  ///
  /// - Throws: when a step fails or gives a wrong result.
  func run() throws {
    let start = clock.now
    print("edu, in a process of its own:")
    let (process, client) = try step("start and connect") {
      let (process, client) = try connect()
      return ((process, client), "process \(process.processID), \(text(client.capabilities))")
    }
    let driver = try EduDriver(client)
    try step("identify") {
      let identity = try driver.identify()
      return ((), identity)
    }
    try step("factorial") {
      let result = try driver.factorial(of: 10)
      try expect(result == 3_628_800, "10! came out as \(result)")
      return ((), "10! = \(result)")
    }
    try moveData(driver)
    try step("interrupt") {
      let status = try driver.takeInterrupt(causes: 0x42)
      try expect(status == 0x42, "the status register says \(hexadecimal(status))")
      return ((), "cause \(hexadecimal(status)) raised, delivered by eventfd, acknowledged")
    }
    try step("stop") {
      client.close()
      let ending = process.wait(timeout: .seconds(5))
      try expect(ending == .exited(0), "the device's process did not end cleanly")
      return ((), "the device's process has exited with 0")
    }
    print("done in \(milliseconds(clock.now - start))")
  }

  /// Moves a pattern to the device and back, by mapped memory and by messages.
  private func moveData(_ driver: EduDriver) throws {
    let byteCount = EduDriver.bufferByteCount
    let pattern = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let shared = try SharedMemory(byteCount: 2 * byteCount, name: "demo")
    try shared.write(at: 0, from: pattern.rawSpan)
    try driver.client.mapMemory(shared, at: DMAAddress(0x10_0000))
    try transfer(driver, "mapped", at: 0x10_0000, pattern) {
      var bytes = [UInt8](repeating: 0, count: byteCount)
      try bytes.withMutableRawSpan { span throws(Errno) in
        try shared.read(at: byteCount, into: &span)
      }
      return bytes
    }
    let own = PrivateMemory(byteCount: 2 * byteCount)
    try own.write(at: 0, from: pattern.rawSpan)
    try driver.client.mapPrivateMemory(own, at: DMAAddress(0x20_0000))
    try transfer(driver, "by message", at: 0x20_0000, pattern) {
      try own.contents(at: byteCount, byteCount: byteCount)
    }
  }

  /// Moves `pattern` from `address` to the device, and from there to the bytes that follow.
  private func transfer(
    _ driver: EduDriver, _ way: String, at address: UInt64, _ pattern: [UInt8],
    result: () throws -> [UInt8]
  ) throws {
    let before = checksum(pattern)
    try step("DMA to the device, \(way)") {
      try driver.copyToDevice(from: address, byteCount: pattern.count)
      return ((), "\(pattern.count) bytes, checksum \(hexadecimal(before))")
    }
    try step("DMA from the device, \(way)") {
      try driver.copyFromDevice(
        to: address + UInt64(pattern.count), byteCount: pattern.count)
      let bytes = try result()
      let after = checksum(bytes)
      try expect(bytes == pattern, "the data came back with the checksum \(hexadecimal(after))")
      return ((), "\(pattern.count) bytes, checksum \(hexadecimal(after)), the same")
    }
  }

  private func connect() throws -> (ChildProcess, DeviceClient) {
    let pair = try SocketPair()
    // The child is this very program; a new name for the inherited descriptor beyond the usual three.
    let process = try ChildProcess(
      "/proc/self/exe", ["serve", "edu", "--fd", "3", "--log-level", "warning"],
      descriptors: [3: pair.second.rawValue])
    let mine = try pair.first.duplicate()
    return (process, try DeviceClient.connect(adopting: mine))
  }

  // MARK: Reporting

  @discardableResult
  private func step<Value>(
    _ name: String, _ body: () throws -> (Value, String)
  ) throws -> Value {
    let start = clock.now
    let (value, outcome): (Value, String)
    do { (value, outcome) = try body() } catch {
      throw ProgramError(.runtime, "demo: \(name) failed: \(error)")
    }
    let time = milliseconds(clock.now - start)
    let width = 32
    print("  \(pad(name, width))\(pad(time, 11, atStart: true))  \(outcome)")
    return value
  }

  private func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    guard condition else { throw ProgramError(.runtime, message()) }
  }

  private func text(_ capabilities: Capabilities) -> String {
    "up to \(capabilities.effectiveTransferByteCount >> 10) KiB a message"
  }

  private func milliseconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    let fraction = String(microseconds % 1000)
    return "\(microseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count)
      + "\(fraction) ms"
  }

  private func pad(_ text: String, _ width: Int, atStart: Bool = false) -> String {
    let space = String(repeating: " ", count: max(0, width - text.count))
    return atStart ? space + text : text + space
  }

  private func hexadecimal(_ value: some BinaryInteger) -> String {
    "0x" + String(value, radix: 16)
  }

  /// FNV-1a, 32 bits.
  private func checksum(_ bytes: [UInt8]) -> UInt32 {
    bytes.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
  }
}
