import VFIOUser

/// The interrupt pin of a device: an eventfd that asserts it, and one that asks whether it is still
/// asserted.
///
/// Confined to whoever holds the lock of its device.
final class DeviceLine {
  private let trigger: EventDescriptor
  private let resample: EventDescriptor
  private let controller: any InterruptController
  private let connection: InterruptConnection

  /// - Parameter line: the input of the controller.
  init(_ controller: any InterruptController, line: Int) throws(MachineError) {
    do throws(Errno) {
      trigger = try EventDescriptor()
      resample = try EventDescriptor()
    } catch {
      throw MachineError(.systemCall, "cannot make an eventfd: \(error)")
    }
    self.controller = controller
    connection = try controller.connect(
      trigger.rawValue, to: .line(line, resample: resample.rawValue))
  }

  deinit { controller.disconnect(connection) }

  /// What the device signals.
  var triggerDescriptor: CInt { trigger.rawValue }
  /// What the device watches.
  var resampleDescriptor: CInt { resample.rawValue }

  /// Asserts it, as the device does.
  func signal() { trigger.signal() }

  /// Takes a signal that was meant for the device.
  func takeResample() -> Bool { resample.consume() != nil }
}
