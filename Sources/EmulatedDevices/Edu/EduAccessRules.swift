import DeviceModel

/// Which accesses `edu` answers: 4 bytes anywhere, 8 bytes from 0x80 on, both aligned.
///
/// It stands before the registers and passes on what they shall see. What no register answers reads
/// as all ones, as the original does; an access of another width or alignment never reaches the
/// device there, and reads 0.
final class EduAccessRules: RegionHandler {
  /// Where accesses of 8 bytes begin to be allowed.
  private static let firstWideOffset: UInt64 = 0x80
  private let registers: RegisterBlock<EduRegister>
  private let readable: Set<UInt64>
  private let writable: Set<UInt64>

  init(_ registers: RegisterBlock<EduRegister>) {
    self.registers = registers
    let declarations = registers.declarations
    readable = Set(
      declarations.filter { $0.access != .writeOnly }.map { UInt64($0.offset) })
    writable = Set(declarations.map { UInt64($0.offset) })
  }

  func read(
    at offset: RegionOffset, into bytes: inout MutableRawSpan, _ access: AccessContext
  ) throws(Errno) {
    guard Self.isValid(offset, bytes.byteCount) else { return }
    guard readable.contains(offset.rawValue),
      bytes.byteCount == 4 || offset.rawValue >= Self.firstWideOffset
    else {
      for index in 0..<bytes.byteCount {
        bytes.storeBytes(of: 0xff, toByteOffset: index, as: UInt8.self)
      }
      return
    }
    try registers.read(at: offset, into: &bytes, access)
  }

  func write(
    at offset: RegionOffset, from bytes: RawSpan, _ access: AccessContext
  ) throws(Errno) {
    let isWide = offset.rawValue >= Self.firstWideOffset
    guard Self.isValid(offset, bytes.byteCount), writable.contains(offset.rawValue),
      bytes.byteCount == 4 || isWide
    else { return }
    guard isWide, bytes.byteCount == 4 else {
      return try registers.write(at: offset, from: bytes, access)
    }
    // Four bytes written to a DMA register replace all eight of it.
    let low = (0..<4).reduce(UInt64(0)) { $0 | UInt64(bytes.byte(at: $1)) << ($1 * 8) }
    try registers.store(low, at: offset)
  }

  private static func isValid(_ offset: RegionOffset, _ byteCount: Int) -> Bool {
    (byteCount == 4 || byteCount == 8) && offset.rawValue % UInt64(byteCount) == 0
  }
}
