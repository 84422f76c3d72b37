import VFIOUser

/// The steps with `edu`: registers, DMA, an interrupt.
struct EduDemo {
  private let report: DemoReport

  init(_ report: DemoReport) { self.report = report }

  func run() throws {
    let device = try report.step("start and connect") {
      let device = try DemoProcess(["edu"])
      let limit = device.client.capabilities.effectiveTransferByteCount >> 10
      return (device, "process \(device.process.processID), up to \(limit) KiB a message")
    }
    let driver = try EduDriver(device.client)
    try report.step("identify") { ((), try driver.identify()) }
    try report.step("factorial") {
      let result = try driver.factorial(of: 10)
      try report.expect(result == 3_628_800, "10! came out as \(result)")
      return ((), "10! = \(result)")
    }
    try moveData(driver)
    try report.step("interrupt") {
      let status = try driver.takeInterrupt(causes: 0x42)
      try report.expect(
        status == 0x42, "the status register says \(report.hexadecimal(status))")
      return (
        (), "cause \(report.hexadecimal(status)) raised, delivered by eventfd, acknowledged"
      )
    }
    try report.step("stop") {
      try device.stop(report)
      return ((), "the device's process has exited with 0")
    }
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
    let before = report.checksum(pattern)
    try report.step("DMA to the device, \(way)") {
      try driver.copyToDevice(from: address, byteCount: pattern.count)
      return ((), "\(pattern.count) bytes, checksum \(report.hexadecimal(before))")
    }
    try report.step("DMA from the device, \(way)") {
      try driver.copyFromDevice(
        to: address + UInt64(pattern.count), byteCount: pattern.count)
      let bytes = try result()
      let after = report.hexadecimal(report.checksum(bytes))
      try report.expect(bytes == pattern, "the data came back with the checksum \(after)")
      return ((), "\(pattern.count) bytes, checksum \(after), the same")
    }
  }
}
