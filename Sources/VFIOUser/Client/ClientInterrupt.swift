/// One interrupt of a device, delivered through an eventfd.
///
/// Threads: any.
public final class ClientInterrupt: Sendable {
  /// Which interrupt of its type.
  public let vector: Int
  private let event: EventDescriptor

  init(vector: Int, event: consuming EventDescriptor) {
    self.vector = vector
    self.event = event
  }

  /// Makes the eventfds of a range of interrupts.
  static func make(start: Int, count: Int) throws(ClientError) -> [ClientInterrupt] {
    guard count > 0, count <= 65536 else {
      throw ClientError(.invalidArgument, .invalidArgument, "no such number of interrupts")
    }
    var interrupts: [ClientInterrupt] = []
    for vector in 0..<count {
      do {
        interrupts.append(ClientInterrupt(vector: start + vector, event: try EventDescriptor()))
      } catch {
        throw ClientError(.systemCall, error, "cannot make an eventfd")
      }
    }
    return interrupts
  }

  /// The kernel's number of the eventfd, to watch or to hand to KVM. Never close it.
  public var rawDescriptor: CInt { event.rawValue }

  /// Waits until the device raises the interrupt.
  ///
  /// - Returns: how often it was raised since the last time, or nil when the time is over.
  public func wait(timeout: Duration) -> UInt64? {
    event.wait(timeout: timeout)
  }

  /// How often the interrupt was raised since the last time; nil when it was not.
  public func consume() -> UInt64? {
    event.consume()
  }

  /// Adds to the eventfd: for one that tells the device to unmask (resample).
  public func signal() {
    event.signal()
  }
}
