/// A descriptor that several places hold; closed with the last of them. `HeldDescriptor` is for one that
/// somebody takes out.
///
/// Threads: any.
final class OwnedDescriptorHolder: Sendable {
  /// The descriptor, for calls that borrow it.
  let descriptor: OwnedDescriptor

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Ends a stream in both directions: whoever waits for it wakes.
  func shutDown() { descriptor.shutDown() }
}
