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

  /// Has several eventfds lead to messages, in one go: each of them delivers what was signalled before, too.
  ///
  /// - Returns: for each request its connection, the old one where it had one, or why it is refused: then
  ///   it is as it was before.
  func connect(
    _ requests: [MessageRequest]
  ) -> [Result<InterruptConnection, MachineError>]

  /// Ends a connection: further signals stay in the eventfd.
  func disconnect(_ connection: InterruptConnection)
}

/// An eventfd that leads to an interrupt controller.
public struct InterruptConnection: Hashable, Sendable {
  let identity: Int

  /// Makes a connection; `identity` tells it from others of the same controller.
  public init(identity: Int) { self.identity = identity }
}
