/// Which accesses of a register the block's effect closure is called for.
///
/// A register without effects is served from the block's tables alone, which is the fastest path.
public struct RegisterEffects: OptionSet, Sendable, Hashable {
  /// Bit 0: reads; bit 1: writes.
  public let rawValue: UInt8

  /// Makes a set from its raw bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// A read calls the closure, which may supply the value.
  public static let read = RegisterEffects(rawValue: 1)
  /// A write calls the closure, after the value was stored.
  public static let write = RegisterEffects(rawValue: 2)
  /// Neither: the register is storage only.
  public static let none: RegisterEffects = []
}
