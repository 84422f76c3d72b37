/// An SGL descriptor: type 0 data block, 1 bit bucket, 2 segment, 3 last segment, in bits 7:4.
struct SGLDescriptor: Sendable {
  var type: UInt8
  var place: Int
  var byteCount: Int
  /// In place of `place`.
  var address: UInt64?

  /// Where tests keep their data, and their segments.
  static let arena = 0x10_0000
  static let segments = 0x80_0000

  static func data(_ place: Int, _ byteCount: Int) -> SGLDescriptor {
    SGLDescriptor(type: 0x00, place: place, byteCount: byteCount)
  }
  static func bucket(_ byteCount: Int) -> SGLDescriptor {
    SGLDescriptor(type: 0x10, place: 0, byteCount: byteCount, address: 0xdead_beef)
  }
  static func segment(_ place: Int, _ count: Int, isLast: Bool) -> SGLDescriptor {
    SGLDescriptor(type: isLast ? 0x30 : 0x20, place: place, byteCount: count * 16)
  }
  static func other(_ type: UInt8, _ byteCount: Int = 4096) -> SGLDescriptor {
    SGLDescriptor(type: type, place: arena, byteCount: byteCount)
  }
  static func nowhere(_ type: UInt8, _ byteCount: Int) -> SGLDescriptor {
    SGLDescriptor(type: type, place: 0, byteCount: byteCount, address: 0x7000_0000)
  }

  func words(_ rig: NVMeRig) -> (UInt64, UInt64) {
    (address ?? rig.address(place), UInt64(byteCount) | UInt64(type) << 56)
  }
}
