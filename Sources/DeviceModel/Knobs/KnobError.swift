/// A setting of a knob that was refused.
public struct KnobError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Why a setting was refused.
  public enum Code: Sendable, Hashable {
    /// The setting is not of the form NAME=VALUE.
    case malformed
    /// The device declares no knob of this name.
    case unknownKnob
    /// The value is not of the knob's type.
    case wrongType
    /// The value is outside the knob's range, or none of its choices.
    case outOfRange
    /// The device has been realised: its knobs are fixed.
    case fixed
  }

  /// Why.
  public let code: Code
  /// One line that says what was wrong and what is possible.
  public let description: String

  /// A refusal, also by a device that finds that values do not go together.
  public init(code: Code, description: String) {
    self.code = code
    self.description = description
  }
}
