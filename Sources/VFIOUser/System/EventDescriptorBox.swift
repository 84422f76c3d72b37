/// An eventfd that several places may hold; closed with the last of them.
///
/// Its own calls never block, whatever a peer that holds the same counter does to it: the peer may fill
/// it, and make it blocking, at any time.
///
/// Threads: any.
package final class EventDescriptorBox: Sendable {
  /// The eventfd.
  package let event: EventDescriptor

  /// Takes an eventfd over.
  package init(_ event: consuming EventDescriptor) { self.event = event }

  /// The kernel's number, for a call that borrows the descriptor.
  package var rawValue: CInt { event.rawValue }

  /// Adds one to the counter; see ``EventDescriptor/signalWarily()``.
  package func signal() { event.signalWarily() }

  /// Sets the counter to zero; see ``EventDescriptor/consumeWarily()``.
  package func consume() { event.consumeWarily() }
}
