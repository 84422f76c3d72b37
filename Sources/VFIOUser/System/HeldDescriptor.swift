import Synchronization

/// A descriptor in a place where only copyable values can be: a list, a closure.
///
/// Threads: any.
final class HeldDescriptor: Sendable {
  private let descriptor: Mutex<OwnedDescriptor?>
  /// The kernel's number, as long as nobody has taken the descriptor. Never close it.
  let rawValue: CInt

  init(_ descriptor: consuming OwnedDescriptor) {
    rawValue = descriptor.rawValue
    self.descriptor = Mutex(descriptor)
  }

  /// Takes the descriptor out, once.
  func take() -> OwnedDescriptor? {
    descriptor.withLock { held in
      let taken = held.take()
      return taken
    }
  }
}
