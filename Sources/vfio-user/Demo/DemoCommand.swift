import ArgumentParser
import DeviceProgram
import VFIOUser

/// `vfio-user demo`: devices in processes of their own, and drivers for them in this one.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Start the devices edu and nvme in processes of their own and drive them.",
    discussion: """
      Of edu it uses a register, DMA both ways with a checksum, and an interrupt. Of nvme it writes to a disk \
      that is a temporary file, has the device copy the data, verifies the copy, and trims it. It says how long \
      each step took. Then a guest, in KVM where that is available, finds edu on its PCI bus and drives it. Nothing is left \
      behind.
      """)

  @Flag(help: "Run the guest in software, as where there is no KVM.")
  var software = false

  func run() throws {
    do {
      try Demo(usesSoftware: software).run()
    } catch let error as ProgramError {
      throw error
    } catch {
      throw ProgramError(.runtime, "demo: \(error)")
    }
  }
}
