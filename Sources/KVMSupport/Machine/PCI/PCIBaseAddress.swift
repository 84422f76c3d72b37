/// A base address register, as the bus decodes it.
///
/// Size and kind are taken once, when the device is attached; after that only the guest's writes count,
/// so that a device cannot move its window.
///
/// Source: PCI Local Bus Specification 3.0, section 6.2.5.1.
struct PCIBaseAddress: Equatable, Sendable {
  /// Which register, 0 to 5; a 64-bit one takes the next as well.
  let index: Int
  /// The size of the window: a power of two.
  let byteCount: UInt64
  /// The size of the device's region, which lies at the window's start.
  let regionByteCount: UInt64
  /// Whether it lies among the I/O ports.
  let isPort: Bool
  /// Whether it takes two registers.
  let is64Bit: Bool
  /// The read-only low bits, which say the kind.
  let typeBits: UInt32

  /// Decodes a register.
  ///
  /// - Parameters:
  ///   - index: which one.
  ///   - value: what the device's register holds; only its low bits count.
  ///   - regionByteCount: the size of the device's region, which is rounded up to a power of two.
  /// - Throws: ``MachineError`` when there can be no such window.
  init(index: Int, value: UInt32, regionByteCount: UInt64) throws(MachineError) {
    self.index = index
    isPort = value & 1 != 0
    is64Bit = value & 7 == 4 && index < PCIHeader.barCount - 1
    typeBits = value & (value & 1 != 0 ? 0x1 : is64Bit ? 0xf : 0x8)
    let limit: UInt64 = isPort ? 1 << 15 : is64Bit ? 1 << 46 : 1 << 31
    guard regionByteCount > 0, regionByteCount <= limit else {
      throw MachineError(
        .badDevice, "BAR \(index) has \(regionByteCount) bytes, and at most \(limit) are possible")
    }
    self.regionByteCount = regionByteCount
    let smallest: UInt64 = isPort ? 4 : 16
    let shift = UInt64(64 - (max(smallest, regionByteCount) - 1).leadingZeroBitCount)
    byteCount = 1 << shift
  }

  /// Whether it says that reads of it have no side effect.
  var isPrefetchable: Bool { !isPort && typeBits & 8 != 0 }

  /// The bits that a guest can write, over both halves.
  var writable: UInt64 { ~(byteCount - 1) & (isPort ? 0xffff_fffc : is64Bit ? .max : 0xffff_ffff) }

  /// Where the guest has put the window, or nil while it is nowhere.
  ///
  /// An address of zero, one that ends at the top of the space (as it is while a guest asks for the
  /// size), and a port beyond the 65536 that there are count as nowhere.
  /// - Parameter raw: both halves of the register, or the one.
  func address(raw: UInt64) -> GuestAddress? {
    let start = raw & writable
    let top: UInt64 = isPort ? 0xffff : is64Bit ? .max : 0xffff_ffff
    let (last, overflow) = start.addingReportingOverflow(byteCount - 1)
    guard start != 0, !overflow, isPort ? last <= top : last < top else { return nil }
    return GuestAddress(start)
  }
}
