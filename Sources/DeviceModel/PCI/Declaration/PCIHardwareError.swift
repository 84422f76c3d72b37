/// A declaration of hardware that cannot exist.
///
/// Found when the device is realised, before any client can connect: it is the device author's
/// mistake.
public struct PCIHardwareError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What is wrong.
  public let code: Code
  /// Where, in words: "BAR 0: 3000 bytes is not a power of two".
  public let description: String

  init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }

  /// The mistakes that are found.
  public struct Code: Hashable, Sendable {
    private let name: String

    /// The vendor ID is 0xffff, which means that no device is there.
    public static let badIdentity = Code(name: "badIdentity")
    /// A BAR's index is not 0 to 5, is taken, or a 64-bit BAR has no room for its second half.
    public static let badBARIndex = Code(name: "badBARIndex")
    /// A BAR's size is not a power of two or is out of range for its kind.
    public static let badBARSize = Code(name: "badBARSize")
    /// A content lies outside its BAR, is empty, or overlaps another one.
    public static let badContent = Code(name: "badContent")
    /// A path that a content wishes to be reached by leaves it, or contradicts another one.
    public static let badPath = Code(name: "badPath")
    /// The number of interrupt vectors is not possible.
    public static let badVectorCount = Code(name: "badVectorCount")
    /// The MSI-X table or pending bit array does not fit where it is declared.
    public static let badMSIXPlace = Code(name: "badMSIXPlace")
    /// A capability does not fit, overlaps, is unaligned, declared twice, or lacks what it depends
    /// on.
    public static let badCapability = Code(name: "badCapability")
    /// The expansion ROM is empty or larger than 16 MiB.
    public static let badExpansionROM = Code(name: "badExpansionROM")
  }
}
