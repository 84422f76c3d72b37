/// A vendor-specific extended capability (VSEC).
///
/// Source: PCI Express Base Specification 3.1, section 7.19.
public struct PCIVendorExtendedCapability: Hashable, Sendable {
  /// The vendor's number for this structure.
  public var identifier: UInt16
  /// The revision of the structure, 0 to 15.
  public var revision: UInt8
  /// The bytes after the eight-byte header.
  public var content: [UInt8]
  /// The bits of `content` that a driver may change; missing bytes are read-only.
  public var writable: [UInt8]

  /// A vendor-specific structure with the given content.
  public init(identifier: UInt16, revision: UInt8 = 0, content: [UInt8], writable: [UInt8] = []) {
    self.identifier = identifier
    self.revision = revision
    self.content = content
    self.writable = writable
  }
}
