import DeviceModel

/// The part of a help text that lists a device's knobs.
public enum KnobHelp {
  /// A line for each knob: name, type, default, description. Empty when there are none.
  public static func text(for declaration: PCIDeviceDeclaration) -> String {
    guard !declaration.knobs.isEmpty else { return "" }
    return "Knobs, for --set:\n"
      + declaration.knobs.map { knob in
        "  \(knob.name) (\(knob.type.summary); default \(knob.defaultText)): \(knob.description)"
      }.joined(separator: "\n")
  }
}
