import Synchronization
import VFIOUser

/// A connected socket that is used once.
final class DemoDescriptor: Sendable {
  private let descriptor: OwnedDescriptor
  private let isTaken = Mutex(false)

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// The socket, for a client; a copy, once.
  func take() throws(ClientError) -> OwnedDescriptor {
    let wasTaken = isTaken.withLock { value in
      defer { value = true }
      return value
    }
    guard !wasTaken else {
      throw ClientError(.connectFailed, .connectionRefused, "the device has ended")
    }
    do { return try descriptor.duplicate() } catch {
      throw ClientError(.systemCall, error, "no descriptor for the socket")
    }
  }
}
