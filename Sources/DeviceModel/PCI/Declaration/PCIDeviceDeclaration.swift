/// What is known of a kind of device before one is made: its name, its knobs and the hardware they
/// give.
public struct PCIDeviceDeclaration: Sendable {
  /// The device's name on command lines and in the manual: lower-case letters, digits and hyphens.
  public let name: String
  /// One sentence that says what the device is.
  public let summary: String
  /// More about the device for the manual; may be empty.
  public let discussion: String
  /// What can be configured before the device is made.
  public let knobs: [any KnobDeclaration]
  /// What the device can be connected to on the host; `nil` for nothing.
  public let backend: BackendRequirement?
  /// The hardware, given the values of the knobs.
  public let hardware: @Sendable (KnobValues) throws -> PCIHardware

  /// Declares a kind of device.
  ///
  /// - Parameters:
  ///   - name: lower-case letters, digits and hyphens.
  ///   - summary: one sentence.
  ///   - discussion: more for the manual; an empty line between paragraphs.
  ///   - knobs: what can be configured.
  ///   - backend: what it can be connected to on the host.
  ///   - hardware: makes the hardware from the knobs' values; whatever it throws refuses the
  ///   values.
  public init(
    name: String, summary: String, discussion: String = "", knobs: [any KnobDeclaration] = [],
    backend: BackendRequirement? = nil,
    hardware: @escaping @Sendable (KnobValues) throws -> PCIHardware
  ) {
    self.name = name
    self.summary = summary
    self.discussion = discussion
    self.knobs = knobs
    self.backend = backend
    self.hardware = hardware
  }
}
