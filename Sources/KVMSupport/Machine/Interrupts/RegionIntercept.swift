/// A part of a BAR that the machine answers itself, before the device: the MSI-X table, or its pending
/// bits.
///
/// Threads: any. It does not keep the device alive.
final class RegionIntercept: GuestAccessHandler {
  private weak let device: AttachedDevice?
  private let isTable: Bool

  init(_ device: AttachedDevice, isTable: Bool) {
    self.device = device
    self.isTable = isTable
  }

  func read(at offset: UInt64, byteCount: Int) -> UInt64 {
    access(at: offset, byteCount: byteCount, value: nil) ?? .max
  }

  func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
    _ = access(at: offset, byteCount: byteCount, value: value)
  }

  func access(at offset: UInt64, byteCount: Int, value: UInt64?) -> UInt64? {
    guard let device else { return value == nil ? .max : 0 }
    let offset = Int(clamping: offset)
    switch (value, isTable) {
    case (nil, true): return device.readTable(at: offset, byteCount: byteCount)
    case (nil, false): return device.readPendingBits(at: offset, byteCount: byteCount)
    case (let value?, true):
      return device.writeTable(value, at: offset, byteCount: byteCount) ? 0 : nil
    // Pending bits are read-only.
    case (_?, false): return 0
    }
  }
}
