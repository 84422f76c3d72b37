@testable import KVMSupport

/// A handler that the guest calls by writing, while it waits.
final class Call: GuestAccessHandler {
  private let body: @Sendable () -> Void

  /// What the machine's space keeps must not keep the machine.
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  func read(at offset: UInt64, byteCount: Int) -> UInt64 { 0 }
  func write(_ value: UInt64, at offset: UInt64, byteCount: Int) { body() }
}

extension AccessScript {
  /// Has the guest call what was placed at a port.
  mutating func call(_ port: UInt64) {
    append(.write(.port, at: GuestAddress(port), 1, byteCount: 1))
  }
}
