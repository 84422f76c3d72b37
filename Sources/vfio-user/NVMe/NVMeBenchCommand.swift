import ArgumentParser
import DeviceProgram
import NVMe
import NVMeDriver

/// `vfio-user nvme bench PATH`: how fast a device is, seen by a driver that polls.
struct NVMeBenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure reads or writes.",
    discussion: "Writes destroy what is on the namespace.")

  @OptionGroup var target: NVMeTarget
  @Option(help: "What to do: randread, randwrite, read or write.")
  var rw: NVMeLoad.Pattern = .randomRead
  @Option(help: ArgumentHelp("Commands in flight on each queue.", valueName: "n")) var depth = 1
  @Option(help: ArgumentHelp("How many queues.", valueName: "n")) var queues = 1
  @Option(name: .customLong("block-size"), help: ArgumentHelp("Bytes a command.", valueName: "n"))
  var blockSize = 4096
  @Option(help: ArgumentHelp("How long.", valueName: "n")) var seconds = 2.0
  @Option(help: ArgumentHelp("Stop after so many commands.", valueName: "n"))
  var commands: UInt64?
  @Option(help: ArgumentHelp("The namespace.", valueName: "id")) var namespace: UInt32 = 1
  @Option(help: "How doorbells are rung: auto, mapped, trapped, shadow, ioregionfd or ioeventfd.")
  var doorbells: NVMeDoorbells = .auto

  func validate() throws {
    guard (1...65_535).contains(depth) else {
      throw ValidationError("--depth takes 1 to 65535")
    }
    guard (1...64).contains(queues) else { throw ValidationError("--queues takes 1 to 64") }
    guard blockSize > 0, blockSize <= 1 << 20, blockSize % 512 == 0 else {
      throw ValidationError("--block-size takes a multiple of 512 up to 1048576")
    }
    guard commands != 0 else { throw ValidationError("--commands takes 1 or more") }
    guard seconds > 0, seconds <= 3600 else {
      throw ValidationError("--seconds takes more than 0 and at most 3600")
    }
  }

  func run() throws {
    var options = NVMeDriverOptions()
    options.doorbells = doorbells
    options.memoryByteCount =
      (64 << 20) + queues * (depth + 2) * (max(blockSize, 4096) + 4096 + 80)
    let controller = try target.attach(options)
    defer { controller.close() }
    var load = NVMeLoad()
    load.pattern = rw
    load.byteCount = blockSize
    load.depth = depth
    load.duration = .microseconds(Int(seconds * 1e6))
    load.commandLimit = commands
    let outcome = try NVMeTarget.reporting { () throws(NVMeDriverError) in
      let namespace = try controller.namespace(self.namespace)
      var pairs: [NVMeQueuePair] = []
      var buffers: [NVMeBuffer] = []
      for _ in 0..<queues { pairs.append(try controller.makeQueuePair(entryCount: depth + 1)) }
      for _ in 0..<(queues * depth) {
        buffers.append(try controller.makeBuffer(byteCount: blockSize))
      }
      return try load.run(namespace, on: pairs, buffers: buffers)
    }
    report(outcome, controller.doorbellPath)
    guard outcome.errorCount == 0 else {
      throw ProgramError(
        .runtime, "nvme: \(outcome.errorCount) of \(outcome.commandCount) commands failed")
    }
  }

  private func report(_ outcome: NVMeLoad.Outcome, _ path: NVMeController.DoorbellPath) {
    let each = outcome.commandCount == 0 ? 0 : outcome.nanoseconds / outcome.commandCount
    print(
      "\(rw.rawValue) \(blockSize) bytes, depth \(depth), \(queues) queue\(queues == 1 ? "" : "s"): "
        + "\(Int(outcome.rate)) IOPS, \(each) ns a command, "
        + "p50 \(microseconds(outcome.latencies.percentile(0.5))), "
        + "p99 \(microseconds(outcome.latencies.percentile(0.99))), doorbells by \(path.rawValue)")
  }

  private func microseconds(_ nanoseconds: UInt64) -> String {
    "\(nanoseconds / 1000).\(nanoseconds % 1000 / 100) us"
  }
}

extension NVMeDoorbells: ExpressibleByArgument {}
extension NVMeLoad.Pattern: ExpressibleByArgument {}
