/// The PCI Express capability (version 2) of a function.
///
/// Source: PCI Express Base Specification 3.1, section 7.8.
public struct PCIExpress: Hashable, Sendable {
  /// What sort of port the function is.
  public var port: PortType
  /// Whether a driver can reset the function through the Device Control register.
  public var hasFunctionLevelReset: Bool

  /// A PCI Express function.
  public init(port: PortType = .endpoint, hasFunctionLevelReset: Bool = true) {
    self.port = port
    self.hasFunctionLevelReset = hasFunctionLevelReset
  }

  /// The device/port types of a function with a type 0 header.
  public enum PortType: UInt8, Hashable, Sendable, CaseIterable {
    /// A PCI Express endpoint.
    case endpoint = 0
    /// An endpoint that may need I/O space.
    case legacyEndpoint = 1
    /// An endpoint inside the root complex; it has no link.
    case rootComplexIntegratedEndpoint = 9
  }
}
