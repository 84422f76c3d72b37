/// The port that ends a guest: what is written to it is the exit status.
///
/// CPUs look for the write before it goes anywhere, since it ends them; this only keeps the place.
///
/// Threads: any.
final class ExitPort: GuestAccessHandler {
  /// How many ports it takes: a guest writes 1, 2 or 4 bytes.
  static let portCount: UInt64 = 4

  func read(at offset: UInt64, byteCount: Int) -> UInt64 { 0 }

  func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {}
}

extension GuestAccess {
  /// The status, when this is the write that ends a guest.
  var exitStatus: UInt32? {
    guard space == .port, address == AccessScript.exitPort, let value else { return nil }
    return UInt32(truncatingIfNeeded: value)
  }
}
