/// An interrupt as a write to memory: what MSI and MSI-X send.
///
/// Source: Intel SDM volume 3, section 11.11.
public struct InterruptMessage: Hashable, Sendable {
  /// Where it is written; on x86 0xFEE followed by the destination.
  public var address: UInt64
  /// What is written; on x86 the vector and how it is delivered.
  public var data: UInt32

  /// Makes a message.
  public init(address: UInt64, data: UInt32) {
    self.address = address
    self.data = data
  }

  /// The vector that it raises.
  public var vector: UInt8 { UInt8(truncatingIfNeeded: data) }
  /// The local APIC that it goes to; 255 is all of them.
  public var destination: UInt8 { UInt8(truncatingIfNeeded: address >> 12) }
}
