import VFIOUser

/// A program for 32-bit guests that comes with this package, made from the source of its name in Guests/.
///
/// It is a flat binary for one fixed address and begins with its first instruction.
public struct GuestProgram: Hashable, Sendable {
  /// Where every program goes: 1 MiB.
  public static let address = GuestAddress(0x10_0000)

  /// The name of its source.
  public let name: String
  /// The program.
  public let bytes: [UInt8]

  /// Every program.
  public static let all: [GuestProgram] = [
    .accessScript, .eduDriver, .nvmeDriver, .nvmeShadowDriver,
  ]

  /// Copies it into the guest's memory, whose first byte is at the guest's address 0.
  ///
  /// - Throws: `EINVAL` when the memory ends before the program.
  public func load(into memory: SharedMemory) throws(Errno) {
    let bytes = bytes.rawSpan
    try memory.write(at: Int(Self.address.rawValue), from: bytes)
  }
}
