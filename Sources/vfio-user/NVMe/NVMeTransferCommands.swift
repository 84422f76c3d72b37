import ArgumentParser
import CVFIOUserLinux
import DeviceProgram
import Glibc
import NVMe
import NVMeDriver
import VFIOUser

/// `vfio-user nvme read PATH`: blocks to standard output.
struct NVMeReadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read", abstract: "Copy blocks to standard output.")

  @OptionGroup var target: NVMeTarget
  @OptionGroup var blocks: BlockOptions
  @Option(help: ArgumentHelp("How many blocks.", valueName: "n")) var count = 1

  func validate() throws {
    guard count > 0 else { throw ValidationError("--count takes 1 or more") }
  }

  func run() throws {
    let controller = try target.attach()
    defer { controller.close() }
    let namespace = try NVMeTarget.reporting { () throws(NVMeDriverError) in
      try controller.namespace(blocks.namespace)
    }
    var done = 0
    while done < count {
      let step = min(count - done, 2048)
      let bytes = try NVMeTarget.reporting { () throws(NVMeDriverError) in
        try controller.read(namespace, block: blocks.block + UInt64(done), count: step)
      }
      try StandardStreams.write(bytes)
      done += step
    }
  }
}

/// `vfio-user nvme write PATH`: standard input to blocks.
struct NVMeWriteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write", abstract: "Copy standard input to blocks, and flush.",
    discussion: "Input that ends within a block is filled up with zeros.")

  @OptionGroup var target: NVMeTarget
  @OptionGroup var blocks: BlockOptions

  func run() throws {
    let controller = try target.attach()
    defer { controller.close() }
    let namespace = try NVMeTarget.reporting { () throws(NVMeDriverError) in
      try controller.namespace(blocks.namespace)
    }
    let size = namespace.blockByteCount
    var block = blocks.block
    while true {
      var bytes = try StandardStreams.read(atMost: 1 << 20)
      if bytes.isEmpty { break }
      bytes += [UInt8](repeating: 0, count: (size - bytes.count % size) % size)
      let content = bytes
      let place = block
      try NVMeTarget.reporting { () throws(NVMeDriverError) in
        try controller.write(namespace, block: place, content)
      }
      block += UInt64(bytes.count / size)
    }
    try NVMeTarget.reporting { () throws(NVMeDriverError) in try controller.flush(namespace) }
  }
}

/// `vfio-user nvme trim PATH`: gives blocks back.
struct NVMeTrimCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trim", abstract: "Deallocate blocks.")

  @OptionGroup var target: NVMeTarget
  @OptionGroup var blocks: BlockOptions
  @Option(help: ArgumentHelp("How many blocks.", valueName: "n")) var count: UInt32

  func run() throws {
    let controller = try target.attach()
    defer { controller.close() }
    try NVMeTarget.reporting { () throws(NVMeDriverError) in
      try controller.deallocate(
        try controller.namespace(blocks.namespace), block: blocks.block, count: count)
    }
  }
}

/// Bytes from and to the descriptors 0 and 1.
enum StandardStreams {
  static func write(_ bytes: [UInt8]) throws(ProgramError) {
    var done = 0
    while done < bytes.count {
      // Safety: the pointer is used within the call, for as many bytes as there are.
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.write(1, buffer.baseAddress.map { unsafe $0 + done }, bytes.count - done)
      }
      guard count > 0 else {
        if errno == EINTR { continue }
        throw ProgramError(.runtime, "nvme: cannot write to standard output")
      }
      done += count
    }
  }

  /// As many bytes as asked for; fewer at the end.
  static func read(atMost limit: Int) throws(ProgramError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: limit)
    var done = 0
    while done < limit {
      // Safety: as for writing.
      let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe Glibc.read(0, buffer.baseAddress.map { unsafe $0 + done }, limit - done)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw ProgramError(.runtime, "nvme: cannot read standard input")
      }
      if count == 0 { break }
      done += count
    }
    return Array(bytes[..<done])
  }
}
