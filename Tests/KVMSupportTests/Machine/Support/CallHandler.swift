@testable import KVMSupport

/// Calls the test when the guest writes, while the guest waits.
final class CallHandler: GuestAccessHandler {
  private let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  func read(at offset: UInt64, byteCount: Int) -> UInt64 { 0 }
  func write(_ value: UInt64, at offset: UInt64, byteCount: Int) { body() }
}
