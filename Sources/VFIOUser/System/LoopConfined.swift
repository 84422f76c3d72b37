/// Carries a value that belongs to one loop through the queue of another.
///
/// Whoever takes the value out does so on the loop that the value is confined to; nothing checks it.
public struct LoopConfined<Value>: @unchecked Sendable {
  /// The value, for its own loop.
  public let value: Value

  /// Wraps a value for its way to its loop.
  public init(_ value: Value) { self.value = value }
}
