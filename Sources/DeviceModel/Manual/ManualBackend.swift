/// A form of backend that a device can be given, for its manual.
public struct ManualBackend: Sendable, Hashable {
  /// How one writes it: "unix:PATH".
  public var form: String
  /// What the device does with it; never empty.
  public var description: String

  /// Describes a form of backend.
  public init(_ form: String, _ description: String) {
    self.form = form
    self.description = description
  }
}
