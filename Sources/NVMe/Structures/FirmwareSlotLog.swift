/// The Firmware Slot Information log, LID 03h.
///
/// Source: NVMe 1.4, figure 195.
public struct FirmwareSlotLog: NVMeStructure {
  /// The structure's size in bytes.
  public static let byteCount = 512
  /// The bytes.
  public var bytes = [UInt8](repeating: 0, count: byteCount)

  /// A structure of zeros.
  public init() {}

  /// Active Firmware Info (AFI): the active slot in bits 2:0.
  public var activeSlot: UInt8 {
    get { load(0) }
    set { store(newValue, 0) }
  }

  /// Firmware Revision for Slot 1 (FRS1).
  public var firstSlotRevision: String {
    get { text(8..<16) }
    set { store(text: newValue, 8..<16) }
  }
}
