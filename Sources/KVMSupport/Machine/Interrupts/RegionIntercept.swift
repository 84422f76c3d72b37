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
    guard let device else { return .max }
    return isTable
      ? device.readTable(at: Int(clamping: offset), byteCount: byteCount)
      : device.readPendingBits(at: Int(clamping: offset), byteCount: byteCount)
  }

  func write(_ value: UInt64, at offset: UInt64, byteCount: Int) {
    // Pending bits are read-only.
    guard isTable, let device else { return }
    device.writeTable(value, at: Int(clamping: offset), byteCount: byteCount)
  }
}
