import ArgumentParser
import DeviceProgram
import VFIOUser

/// `vfio-user demo`: a device in a process of its own, and a driver for it in this one.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo", abstract: "Start the device edu in its own process and drive it.",
    discussion: """
      Identifies the device, lets it compute a factorial, moves data both ways by DMA with a \
      checksum, takes an interrupt, and says how long each step took. Nothing is left behind.
      """)

  func run() throws {
    do { try Demo().run() } catch let error as ProgramError { throw error } catch {
      throw ProgramError(.runtime, "demo: \(error)")
    }
  }
}
