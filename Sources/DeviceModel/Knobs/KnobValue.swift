/// The value of a knob of any type.
public enum KnobValue: Sendable, Hashable {
  /// A boolean knob's value.
  case boolean(Bool)
  /// An integer's or a size's value; a size is in bytes.
  case integer(Int)
  /// A text's or a choice's value.
  case text(String)
}
