/// An address that a guest uses: of its physical memory, or of an I/O port.
public struct GuestAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number.
  public var rawValue: UInt64

  /// Makes an address.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// By number.
  public static func < (left: GuestAddress, right: GuestAddress) -> Bool {
    left.rawValue < right.rawValue
  }

  /// In hexadecimal.
  public var description: String { "0x" + String(rawValue, radix: 16) }
}
