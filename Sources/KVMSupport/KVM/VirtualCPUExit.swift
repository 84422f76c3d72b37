/// Why a virtual CPU stopped running.
public enum VirtualCPUExit: Hashable, Sendable {
  /// The guest reads where there is no memory. `VirtualCPU.complete(_:)` tells what it gets; all-ones if
  /// nobody does. Up to 8 bytes: a wider access exits once for each 8.
  case memoryRead(GuestAddress, byteCount: Int)
  /// The guest writes where there is no memory, or where that is read-only.
  case memoryWrite(GuestAddress, value: UInt64, byteCount: Int)
  /// The guest reads a port; as for memory. Of a string instruction each element is an exit.
  case portRead(GuestAddress, byteCount: Int)
  /// The guest writes to a port. Of a string instruction each element is an exit.
  case portWrite(GuestAddress, value: UInt64, byteCount: Int)
  /// The guest halted, in a machine without interrupt controller.
  case halted
  /// The guest failed in handling a failure (a triple fault).
  case shutdown
  /// A kick, or any other signal to the thread. Run again to go on.
  case interrupted
  /// It cannot go on.
  case failed(VirtualCPUFailure)

  /// The access that it is, for an `AddressSpace`; nil when it is none.
  public var access: GuestAccess? {
    switch self {
    case .memoryRead(let address, let byteCount): .read(at: address, byteCount: byteCount)
    case .memoryWrite(let address, let value, let byteCount):
      .write(value, at: address, byteCount: byteCount)
    case .portRead(let address, let byteCount): .read(.port, at: address, byteCount: byteCount)
    case .portWrite(let address, let value, let byteCount):
      .write(value, .port, at: address, byteCount: byteCount)
    case .halted, .shutdown, .interrupted, .failed: nil
    }
  }
}
