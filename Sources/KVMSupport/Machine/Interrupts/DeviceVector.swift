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

  /// Sends it, as the device does.
  func signal() { event.signal() }

  /// Whether something was signalled that has not been delivered.
  var isPending: Bool {
    guard connection == nil else { return false }
    var state = pollfd(fd: event.rawValue, events: Int16(POLLIN), revents: 0)
    // Safety: one element, for the time of the call.
    return unsafe poll(&state, 1, 0) == 1
  }

  /// Has vectors of one controller deliver from now on, and what is pending at once.
  ///
  /// - Returns: for each of them why it does not deliver as it should; nil where it does.
  static func connect(
    _ wishes: [(delivery: DeviceVector, message: InterruptMessage)]
  ) -> [MachineError?] {
    var failures = [MachineError?](repeating: nil, count: wishes.count)
    let changes = wishes.indices.filter { place in
      let (delivery, message) = wishes[place]
      return message != delivery.message || delivery.connection == nil
    }
    guard let controller = changes.first.map({ wishes[$0].delivery.controller }) else {
      return failures
    }
    let outcomes = controller.connect(
      changes.map { place in
        let (delivery, message) = wishes[place]
        return MessageRequest(delivery.source, to: message)
      })
    for (place, outcome) in zip(changes, outcomes) {
      let (delivery, message) = wishes[place]
      switch outcome {
      case .success(let connection):
        delivery.connection = connection
        delivery.message = message
      case .failure(let error): failures[place] = error
      }
    }
    return failures
  }

  private var source: MessageRequest.Source {
    if let connection { .connection(connection) } else { .descriptor(event.rawValue) }
  }

  /// Delivers nothing from now on.
  func disconnect() {
    guard let connection else { return }
    controller.disconnect(connection)
    self.connection = nil
    message = nil
  }
}
