/// A knob of any type, as the command line and the manual see it; devices declare ``Knob``s.
public protocol KnobDeclaration: Sendable {
  /// The name in settings: lower-case letters, digits and hyphens, a letter first.
  var name: String { get }
  /// What values it takes.
  var type: KnobType { get }
  /// The value that it has when nobody sets it.
  var defaultKnobValue: KnobValue { get }
  /// What it does: one or more sentences, never empty.
  var description: String { get }
}

extension KnobDeclaration {
  /// The default as one would write it in a setting.
  public var defaultText: String { type.text(defaultKnobValue) }

  /// Checks the declaration by itself.
  func check(in device: String) throws(DeclarationError) {
    let letters = "abcdefghijklmnopqrstuvwxyz"
    guard let first = name.first, letters.contains(first),
      name.allSatisfy({ (letters + "0123456789-").contains($0) })
    else {
      throw DeclarationError(
        "\(device): knob \"\(name)\" needs a name of lower-case letters, digits and hyphens")
    }
    guard !description.isBlank else {
      throw DeclarationError("\(device): knob \(name) has no description")
    }
    guard type.contains(defaultKnobValue) else {
      throw DeclarationError(
        "\(device): knob \(name) has the default \(defaultText), which is not \(type.phrase)")
    }
  }
}
