/// What a client learns of one interrupt type.
public struct InterruptLayout: Sendable, Hashable {
  /// How many vectors; 0 where the device has none of this type.
  public var count: Int
  /// What the client may do with them.
  public var flags: InterruptFlags

  /// Makes a layout.
  public init(count: Int, flags: InterruptFlags) {
    self.count = count
    self.flags = flags
  }
}
