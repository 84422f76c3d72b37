/// Addresses that no device may take, because something outside of the address space answers there.
///
/// Threads: any.
final class ReservedPlace: GuestAccessHandler {
  func read(at offset: UInt64, byteCount: Int) -> UInt64 { .max }

  func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {}
}
