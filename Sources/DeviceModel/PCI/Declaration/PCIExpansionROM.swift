/// The expansion ROM of a function: an image that firmware can run.
///
/// Source: PCI Local Bus Specification 3.0, section 6.2.5.2.
public struct PCIExpansionROM: Hashable, Sendable {
  /// The image. The ROM's window is this many bytes rounded up to a power of two, at least 2048.
  public var image: [UInt8]

  /// A ROM with the given image, 1 byte to 16 MiB.
  public init(image: [UInt8]) {
    self.image = image
  }

  /// The size of the window in bytes: a power of two, at least 2048.
  public var windowByteCount: UInt64 {
    var byteCount: UInt64 = 2048
    while byteCount < UInt64(image.count) { byteCount <<= 1 }
    return byteCount
  }
}
