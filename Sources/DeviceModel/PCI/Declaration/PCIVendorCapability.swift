/// A vendor-specific capability: bytes that only the vendor's driver understands.
///
/// Source: PCI Local Bus Specification 3.0, appendix H, capability ID 9.
public struct PCIVendorCapability: Hashable, Sendable {
  /// The bytes after the three-byte header (ID, next pointer, length); at most 189.
  public var content: [UInt8]
  /// The bits of `content` that a driver may change; missing bytes are read-only.
  public var writable: [UInt8]

  /// A vendor capability with the given content.
  public init(content: [UInt8], writable: [UInt8] = []) {
    self.content = content
    self.writable = writable
  }
}
