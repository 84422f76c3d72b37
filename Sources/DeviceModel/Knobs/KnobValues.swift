/// The knobs of one device and their values: settings go in, typed values come out.
///
/// ```swift
/// var knobs = try KnobValues(device: "gpio", declaring: [GPIO.lines, GPIO.edge])
/// try knobs.set("lines=8")
/// knobs.fix()                         // realising the device does this
/// knobs[GPIO.lines]                   // 8
/// ```
public struct KnobValues: Sendable {
  /// The device's name, for error messages.
  public let device: String
  /// The knobs, in the order of the manual.
  public let declarations: [any KnobDeclaration]
  /// Whether the device is realised, so that settings are refused.
  public private(set) var isFixed = false
  private var values: [String: KnobValue] = [:]

  /// Takes the declarations of a device; each knob has its default.
  ///
  /// - Throws: ``DeclarationError`` for a name, default or description that will not do.
  public init(
    device: String, declaring declarations: [any KnobDeclaration]
  ) throws(DeclarationError) {
    self.device = device
    self.declarations = declarations
    for knob in declarations {
      try knob.check(in: device)
      guard values.updateValue(knob.defaultKnobValue, forKey: knob.name) == nil else {
        throw DeclarationError("\(device): two knobs are called \(knob.name)")
      }
    }
  }

  /// The value of a knob.
  ///
  /// Traps when the device does not declare the knob, which is an error in the device.
  public subscript<Value>(knob: Knob<Value>) -> Value {
    guard let value = values[knob.name], let typed = knob.extract(value) else {
      preconditionFailure("\(device) does not declare the knob \(knob.name)")
    }
    return typed
  }

  /// The value of the knob called `name`, as one would write it; nil when there is none.
  public func text(of name: String) -> String? {
    guard let knob = declarations.first(where: { $0.name == name }) else { return nil }
    return values[name].map(knob.type.text)
  }

  /// Takes one setting of the form NAME=VALUE; the last of several for one knob counts.
  ///
  /// - Throws: ``KnobError``, one line for the person who wrote the setting.
  public mutating func set(_ setting: String) throws(KnobError) {
    guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
      throw KnobError(
        code: .malformed, description: "\(device): write a knob as NAME=VALUE, not \"\(setting)\"")
    }
    try set(String(setting[..<equals]), to: String(setting[setting.index(after: equals)...]))
  }

  /// Sets the knob called `name` to a value as one would write it.
  ///
  /// - Throws: ``KnobError``; the knob keeps its value then.
  public mutating func set(_ name: String, to text: String) throws(KnobError) {
    guard let knob = declarations.first(where: { $0.name == name }) else {
      let known = declarations.map(\.name).joined(separator: ", ")
      throw KnobError(
        code: .unknownKnob,
        description: "\(device) has no knob \"\(name)\"; "
          + (known.isEmpty ? "it has none" : "it has: \(known)"))
    }
    guard !isFixed else {
      throw KnobError(
        code: .fixed,
        description: "\(device): \(name) cannot be set any more, the device is running")
    }
    guard let value = knob.type.parse(text) else {
      throw KnobError(
        code: .wrongType,
        description: "\(device): \(name) takes \(knob.type.phrase), not \"\(text)\"")
    }
    guard knob.type.contains(value) else {
      throw KnobError(
        code: .outOfRange,
        description: "\(device): \(name) takes \(knob.type.phrase); \(text) is outside")
    }
    values[name] = value
  }

  /// Ends the time of settings: the device is being realised with these values.
  public mutating func fix() { isFixed = true }
}
