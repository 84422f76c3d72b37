import NVMe
import NVMeDriver
import VFIOUser

/// The steps with `nvme`: a disk on a file, used through the driver.
struct NVMeDemo {
  /// The size of the disk in bytes.
  static let diskByteCount = 64 << 20
  /// How much is written, and copied, in bytes.
  static let dataByteCount = 8 << 20
  private static let readCount: UInt64 = 20_000

  private let report: DemoReport

  init(_ report: DemoReport) { self.report = report }

  func run() throws {
    let file = try DemoFile(byteCount: Self.diskByteCount)
    let (device, controller) = try report.step("start and attach") {
      let device = try DemoProcess(
        ["nvme", "--namespace", "file:\(file.path.map { $0 == "," ? ",," : String($0) }.joined())"])
      let controller = try NVMeController(device.client)
      // The device has opened it: from here on nothing is left behind, however this ends.
      file.remove()
      return (
        (device, controller),
        "process \(device.process.processID), \(controller.identity.modelNumber), "
          + "\(controller.queuePairLimit) queue pairs"
      )
    }
    let disk = try report.step("identify") {
      let disk = try controller.namespace(1)
      return (
        disk, "\(disk.blockCount) blocks of \(disk.blockByteCount) bytes, \(size(of: file))"
      )
    }
    try moveData(controller, disk, file)
    try readAtRandom(controller, disk)
    try trim(controller, disk, file)
    try report.step("shut down and stop") {
      try controller.shutDown()
      try device.stop(report)
      return ((), "the device's process has exited with 0, the file is gone")
    }
  }

  /// Writes a pattern, has the device copy it, and reads the copy.
  private func moveData(
    _ controller: NVMeController, _ disk: NVMeNamespaceInfo, _ file: DemoFile
  ) throws {
    var random: UInt32 = 0x2545_f491
    var pattern = [UInt8](repeating: 0, count: Self.dataByteCount)
    for index in pattern.indices {
      random = random &* 1_664_525 &+ 1_013_904_223
      pattern[index] = UInt8(random >> 24)
    }
    let before = report.checksum(pattern)
    let amount = "\(pattern.count >> 20) MiB"
    let blockCount = UInt64(pattern.count / disk.blockByteCount)
    try report.step("write", moving: pattern.count) {
      try controller.write(disk, block: 0, pattern)
      return ((), "\(amount), checksum \(report.hexadecimal(before))")
    }
    try report.step("copy, by the device itself", moving: pattern.count) {
      try controller.copy(disk, block: 0, count: blockCount, to: blockCount)
      return ((), "\(amount) to block \(blockCount)")
    }
    try report.step("flush") {
      try controller.flush(disk)
      return ((), "on the medium; \(size(of: file))")
    }
    let copy = try report.step("read the copy", moving: pattern.count) {
      let bytes = try controller.read(disk, block: blockCount, count: Int(blockCount))
      return (bytes, amount)
    }
    try report.step("verify") {
      let after = report.hexadecimal(report.checksum(copy))
      try report.expect(copy == pattern, "the data came back with the checksum \(after)")
      return ((), "checksum \(after), the same")
    }
  }

  /// Many commands at a time, which is what the queues are for.
  private func readAtRandom(_ controller: NVMeController, _ disk: NVMeNamespaceInfo) throws {
    var load = NVMeLoad()
    load.depth = 32
    load.commandLimit = Self.readCount
    try report.step("read at random") {
      let pair = try controller.makeQueuePair(entryCount: load.depth + 1)
      var buffers: [NVMeBuffer] = []
      for _ in 0..<load.depth {
        buffers.append(try controller.makeBuffer(byteCount: load.byteCount))
      }
      let outcome = try load.run(disk, on: [pair], buffers: buffers)
      try report.expect(outcome.errorCount == 0, "\(outcome.errorCount) reads failed")
      return (
        (),
        "\(outcome.commandCount) times 4 KiB, \(load.depth) in flight: \(Int(outcome.rate)) a second"
      )
    }
  }

  /// Gives the space back that was written.
  private func trim(
    _ controller: NVMeController, _ disk: NVMeNamespaceInfo, _ file: DemoFile
  ) throws {
    let before = file.allocatedByteCount
    let blockCount = 2 * Self.dataByteCount / disk.blockByteCount
    try report.step("trim") {
      try controller.deallocate(disk, block: 0, count: UInt32(blockCount))
      try controller.flush(disk)
      guard disk.data.deallocateFeatures & 7 == 1 else {
        return ((), "the file's file system cannot give space back")
      }
      let bytes = try controller.read(disk, block: 0, count: blockCount / 2)
      try report.expect(bytes.allSatisfy { $0 == 0 }, "trimmed blocks do not read zeros")
      try report.expect(
        file.allocatedByteCount < before, "the file still takes \(before) bytes")
      return ((), "the blocks read zeros; \(size(of: file))")
    }
  }

  private func size(of file: DemoFile) -> String {
    "the file takes \(file.allocatedByteCount >> 10) KiB"
  }
}
