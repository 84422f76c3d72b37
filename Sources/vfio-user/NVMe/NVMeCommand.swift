import ArgumentParser
import DeviceProgram
import NVMe
import NVMeDriver

/// `vfio-user nvme ...`: drives an NVMe device from this process.
struct NVMeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nvme", abstract: "Drive an NVMe device that any vfio-user server serves.",
    discussion: "The device must have no other client.",
    subcommands: [
      NVMeIdentifyCommand.self, NVMeReadCommand.self, NVMeWriteCommand.self,
      NVMeTrimCommand.self, NVMeBenchCommand.self,
    ])
}

/// What every NVMe command takes.
struct NVMeTarget: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "The server's socket, or a folder that holds one named cntrl.", valueName: "path"))
  var path: String

  func attach(_ options: NVMeDriverOptions = NVMeDriverOptions()) throws -> NVMeController {
    try Self.reporting { () throws(NVMeDriverError) in
      try NVMeController.attach(path: path, options: options)
    }
  }

  /// Turns an error of the driver into one line.
  static func reporting<Result>(
    _ body: () throws(NVMeDriverError) -> Result
  ) throws(ProgramError) -> Result {
    do throws(NVMeDriverError) { return try body() } catch {
      throw ProgramError(.runtime, "nvme: \(error)")
    }
  }
}

/// Which blocks a command is about.
struct BlockOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The namespace.", valueName: "id"))
  var namespace: UInt32 = 1

  @Option(help: ArgumentHelp("The first block.", valueName: "lba"))
  var block: UInt64 = 0
}
