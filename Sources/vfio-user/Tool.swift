import ArgumentParser
import DeviceProgram

/// The command-line tool: serves devices, describes them, looks at what other servers serve.
@main
struct Tool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vfio-user",
    abstract: "PCI devices in processes of their own, over the vfio-user protocol.",
    subcommands: [
      ServeCommand.self, DevicesCommand.self, ProbeCommand.self, RunCommand.self,
      NVMeCommand.self, DemoCommand.self,
    ])

  static func main() { ProgramEntry.run(Tool.self) }
}
