/// An eventfd that several places may hold; closed with the last of them.
///
/// Threads: any.
package final class EventDescriptorBox: Sendable {
  /// The eventfd.
  package let event: EventDescriptor

  /// Takes an eventfd over.
  package init(_ event: consuming EventDescriptor) { self.event = event }

  /// The kernel's number, for a call that borrows the descriptor.
  package var rawValue: CInt { event.rawValue }

  /// See ``EventDescriptor/signal()``.
  package func signal() { event.signal() }

  /// See ``EventDescriptor/consume()``.
  @discardableResult
  package func consume() -> UInt64? { event.consume() }
}
