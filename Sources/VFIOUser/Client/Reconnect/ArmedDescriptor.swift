import CVFIOUserLinux

/// A descriptor that is kept for the next server: an interrupt's eventfd, or a file of memory.
final class ArmedDescriptor: Sendable {
  /// The kernel's number.
  let rawValue: CInt
  private let event: ClientInterrupt?
  private let file: OwnedDescriptorHolder?

  /// Keeps an eventfd of this package's.
  init(_ interrupt: ClientInterrupt) {
    rawValue = interrupt.rawDescriptor
    event = interrupt
    file = nil
  }

  /// Keeps a duplicate of a caller's eventfd; throws EINVAL when it is none.
  convenience init(event raw: CInt) throws(Errno) {
    let copy = OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(raw)))
    self.init(ClientInterrupt(vector: 0, event: try EventDescriptor(adopting: copy)))
  }

  /// Keeps a duplicate of a caller's file.
  init(file raw: CInt) throws(Errno) {
    let copy = OwnedDescriptor(adopting: try Errno.checkShim(cvfu_duplicate(raw)))
    rawValue = copy.rawValue
    event = nil
    file = OwnedDescriptorHolder(copy)
  }

  /// Signals an eventfd.
  func signal() { event?.signal() }
}
