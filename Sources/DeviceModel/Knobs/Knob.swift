/// A static property of a device: named, typed, described, and fixed once the device is realised.
///
/// The declaration is the key with which the device reads the value:
///
/// ```swift
/// static let lines = Knob("lines", default: 16, in: 1...32, "How many input lines there are.")
/// ...
/// let count = knobs[Self.lines]       // an Int
/// ```
public struct Knob<Value: Sendable>: KnobDeclaration {
  /// The name in settings.
  public let name: String
  /// What values it takes.
  public let type: KnobType
  /// The value that it has when nobody sets it.
  public let defaultValue: Value
  /// The default, without its static type.
  public let defaultKnobValue: KnobValue
  /// What it does.
  public let description: String
  /// From the untyped value; nil for one of another type.
  let extract: @Sendable (KnobValue) -> Value?
}

extension Knob where Value == Bool {
  /// Declares a knob that is on or off.
  ///
  /// - Parameters:
  ///   - name: lower-case letters, digits and hyphens; unique in the device.
  ///   - defaultValue: its value when nobody sets it.
  ///   - description: what it does; must not be empty.
  public init(_ name: String, default defaultValue: Bool, _ description: String) {
    self.init(
      name: name, type: .boolean, defaultValue: defaultValue,
      defaultKnobValue: .boolean(defaultValue), description: description,
      extract: { if case .boolean(let value) = $0 { value } else { nil } })
  }
}

extension Knob where Value == Int {
  /// Declares a number.
  ///
  /// - Parameters:
  ///   - name: lower-case letters, digits and hyphens; unique in the device.
  ///   - defaultValue: its value when nobody sets it, within `range`.
  ///   - range: the values that it takes.
  ///   - description: what it does; must not be empty.
  public init(
    _ name: String, default defaultValue: Int, in range: ClosedRange<Int>, _ description: String
  ) {
    self.init(
      name: name, type: .integer(range), defaultValue: defaultValue,
      defaultKnobValue: .integer(defaultValue), description: description, extract: \.integer)
  }

  /// Declares a number of bytes, which settings may write with K, M or G.
  ///
  /// - Parameters:
  ///   - name: lower-case letters, digits and hyphens; unique in the device.
  ///   - byteCount: its value when nobody sets it, within `range`.
  ///   - range: the values that it takes, in bytes.
  ///   - description: what it does; must not be empty.
  public init(
    _ name: String, defaultByteCount byteCount: Int, in range: ClosedRange<Int>,
    _ description: String
  ) {
    self.init(
      name: name, type: .byteCount(range), defaultValue: byteCount,
      defaultKnobValue: .integer(byteCount), description: description, extract: \.integer)
  }
}

extension Knob where Value == String {
  /// Declares a text.
  ///
  /// - Parameters:
  ///   - name: lower-case letters, digits and hyphens; unique in the device.
  ///   - defaultValue: its value when nobody sets it; may be empty.
  ///   - description: what it does; must not be empty.
  public init(_ name: String, default defaultValue: String, _ description: String) {
    self.init(
      name: name, type: .text, defaultValue: defaultValue, defaultKnobValue: .text(defaultValue),
      description: description, extract: \.text)
  }
}

extension Knob where Value: RawRepresentable<String> & CaseIterable {
  /// Declares a choice among the cases of an enumeration, written as their raw values.
  ///
  /// - Parameters:
  ///   - name: lower-case letters, digits and hyphens; unique in the device.
  ///   - defaultValue: its value when nobody sets it.
  ///   - description: what it does; must not be empty.
  public init(_ name: String, default defaultValue: Value, _ description: String) {
    self.init(
      name: name, type: .choice(Value.allCases.map(\.rawValue)), defaultValue: defaultValue,
      defaultKnobValue: .text(defaultValue.rawValue), description: description,
      extract: { $0.text.flatMap(Value.init(rawValue:)) })
  }
}

extension KnobValue {
  fileprivate var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  fileprivate var text: String? { if case .text(let value) = self { value } else { nil } }
}
