/// What turns eventfds that devices signal into interrupts of the guest: KVM's, or a model of it.
///
/// Threads: any.
public protocol InterruptController: AnyObject, Sendable {
  /// Has each signal of the eventfd `descriptor` deliver an interrupt. A signal that came before
  /// counts.
  ///
  /// - Parameters:
  ///   - descriptor: lent until ``disconnect(_:)``.
  ///   - target: where it leads.
  /// - Returns: what identifies the connection.
  /// - Throws: ``MachineError`` when the hypervisor refuses.
  func connect(
    _ descriptor: CInt, to target: InterruptTarget
  ) throws(MachineError) -> InterruptConnection

  /// Has an eventfd that leads to a message lead to another one; nothing happens to one that was
  /// disconnected.
  ///
  /// - Throws: as ``connect(_:to:)``.
  func change(_ connection: InterruptConnection, to message: InterruptMessage) throws(MachineError)

  /// Ends a connection: further signals stay in the eventfd.
  func disconnect(_ connection: InterruptConnection)
}

/// An eventfd that leads to an interrupt controller.
public struct InterruptConnection: Hashable, Sendable {
  let identity: Int

  /// Makes a connection; `identity` tells it from others of the same controller.
  public init(identity: Int) { self.identity = identity }
}
