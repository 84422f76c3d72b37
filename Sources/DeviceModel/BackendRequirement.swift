/// What a device can be connected to on the host: the far end of a serial line, a disk image, a set
/// of wires.
public struct BackendRequirement: Hashable, Sendable {
  /// The kind of backend, such as "character" or "lines"; the command line offers the ones that
  /// fit.
  public let kind: String
  /// Whether the device cannot work without one.
  public let isRequired: Bool
  /// What the device does with it, in one sentence, for the manual.
  public let summary: String

  /// Declares what a device can be connected to.
  public init(kind: String, isRequired: Bool = false, _ summary: String) {
    self.kind = kind
    self.isRequired = isRequired
    self.summary = summary
  }
}
