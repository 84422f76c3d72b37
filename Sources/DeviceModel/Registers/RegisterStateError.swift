/// Saved register values that do not fit the block they are restored to.
public struct RegisterStateError: Error, Sendable, Equatable, CustomStringConvertible {
  /// One line that names the register and says what does not fit.
  public let description: String

  init(_ description: String) { self.description = description }
}
