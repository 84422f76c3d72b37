import DeviceModel
import EmulatedDevices
import Logging
import VFIOUser

/// What `--backend` says, opened.
enum BackendOption {
  /// Opens the back end for a device, or returns nil where the device works without.
  ///
  /// - Throws: ``ProgramError`` when it is missing, not wanted, malformed or cannot be opened.
  static func open(
    _ specification: String?, for declaration: PCIDeviceDeclaration, on loop: EventLoop,
    _ logger: Logger
  ) throws(ProgramError) -> AnyObject? {
    let name = declaration.name
    guard let specification else {
      guard let requirement = declaration.backend, requirement.isRequired else { return nil }
      throw ProgramError(
        .usage, "\(name) needs --backend SPEC: \(requirement.summary)")
    }
    guard declaration.backend != nil else {
      throw ProgramError(.usage, "\(name) has no back end: leave --backend out")
    }
    do throws(BackendError) {
      let port = CharacterPort()
      port.attach(
        try BackendSpecification(specification).open(on: loop) { line in
          logger.notice("\(line)")
        })
      return port
    } catch {
      throw ProgramError(error.code == .malformed ? .usage : .runtime, "\(name): \(error)")
    }
  }
}
