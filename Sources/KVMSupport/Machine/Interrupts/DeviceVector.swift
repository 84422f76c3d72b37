import CVFIOUserLinux
import VFIOUser

/// One message of a device: the eventfd that the device signals, and where it leads now.
///
/// While it leads nowhere, what the device signals stays in the eventfd: the pending bit.
///
/// Confined to whoever holds the lock of its device.
final class DeviceVector {
  private let event: EventDescriptor
  private let controller: any InterruptController
  private var connection: InterruptConnection?
  private var message: InterruptMessage?

  init(_ controller: any InterruptController) throws(Errno) {
    event = try EventDescriptor()
    self.controller = controller
  }

  deinit { disconnect() }

  /// The eventfd, to give to the device. Never close it.
  var descriptor: CInt { event.rawValue }

  /// Whether something was signalled that has not been delivered.
  var isPending: Bool {
    guard connection == nil else { return false }
    var state = pollfd(fd: event.rawValue, events: Int16(POLLIN), revents: 0)
    // Safety: one element, for the time of the call.
    return unsafe poll(&state, 1, 0) == 1
  }

  /// Delivers from now on, and what is pending at once.
  func connect(_ message: InterruptMessage) throws(MachineError) {
    guard message != self.message || connection == nil else { return }
    if let connection {
      try controller.change(connection, to: message)
    } else {
      connection = try controller.connect(event.rawValue, to: .message(message))
    }
    self.message = message
  }

  /// Delivers nothing from now on.
  func disconnect() {
    guard let connection else { return }
    controller.disconnect(connection)
    self.connection = nil
    message = nil
  }
}
