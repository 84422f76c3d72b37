import DeviceModel
import Synchronization

@testable import VFIOUser

/// A device whose server can die, and be replaced by another one.
final class ReplaceableServer: Sendable {
  typealias Kind = any (PCIDevice & SendableMetatype).Type

  private let current: Mutex<TestServer?>
  private let kind: Kind

  init(_ kind: Kind) throws {
    self.kind = kind
    current = Mutex(try TestServer(kind))
  }

  /// The client's end of a connection to the present server.
  func open() throws(ClientError) -> OwnedDescriptor {
    guard let server = current.withLock(\.self) else {
      throw ClientError(.connectFailed, .connectionRefused, "nobody listens")
    }
    return try server.open()
  }

  /// Ends the server, and its connection with it.
  func die() {
    let server = current.withLock { current in
      defer { current = nil }
      return current
    }
    server?.die()
  }

  /// Starts another one, by default of the same device.
  func start(_ kind: Kind? = nil) throws {
    let server = try TestServer(kind ?? self.kind)
    current.withLock { $0 = server }
  }
}
