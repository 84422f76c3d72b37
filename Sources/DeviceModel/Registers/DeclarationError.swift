/// A mistake in a device's declarations, found when the device is realised.
///
/// It speaks to the device's author; no peer or guest can cause it.
public struct DeclarationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// One line that names the declaration and says what is wrong with it.
  public let description: String

  /// Makes an error from one line of text.
  public init(_ description: String) { self.description = description }
}
