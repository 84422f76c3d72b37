/// What a controller says of itself: Identify, CNS 01h.
///
/// Source: NVMe 1.4, figure 247.
public struct IdentifyController: NVMeStructure {
  /// The structure's size in bytes.
  public static let byteCount = 4096
  /// The bytes.
  public var bytes = [UInt8](repeating: 0, count: byteCount)

  /// A structure of zeros.
  public init() {}

  /// PCI Vendor ID (VID).
  public var vendor: UInt16 {
    get { load(0) }
    set { store(newValue, 0) }
  }

  /// PCI Subsystem Vendor ID (SSVID).
  public var subsystemVendor: UInt16 {
    get { load(2) }
    set { store(newValue, 2) }
  }

  /// Serial Number (SN), at most 20 characters.
  public var serialNumber: String {
    get { text(4..<24) }
    set { store(text: newValue, 4..<24) }
  }

  /// Model Number (MN), at most 40 characters.
  public var modelNumber: String {
    get { text(24..<64) }
    set { store(text: newValue, 24..<64) }
  }

  /// Firmware Revision (FR), at most 8 characters.
  public var firmwareRevision: String {
    get { text(64..<72) }
    set { store(text: newValue, 64..<72) }
  }

  /// Recommended Arbitration Burst (RAB), as a power of two.
  public var arbitrationBurst: UInt8 {
    get { load(72) }
    set { store(newValue, 72) }
  }

  /// Maximum Data Transfer Size (MDTS), as a power of two of the smallest page; 0 for no limit.
  public var maximumTransferShift: UInt8 {
    get { load(77) }
    set { store(newValue, 77) }
  }

  /// Controller ID (CNTLID).
  public var controllerIdentifier: UInt16 {
    get { load(78) }
    set { store(newValue, 78) }
  }

  /// Version (VER), as the register VS.
  public var version: UInt32 {
    get { load(80) }
    set { store(newValue, 80) }
  }

  /// Optional Asynchronous Events Supported (OAES).
  public var asynchronousEventsSupported: UInt32 {
    get { load(92) }
    set { store(newValue, 92) }
  }

  /// Controller Type (CNTRLTYPE): 1 is an I/O controller.
  public var controllerType: UInt8 {
    get { load(111) }
    set { store(newValue, 111) }
  }

  /// Optional Admin Command Support (OACS): bit 1 Format NVM, bit 8 Doorbell Buffer Config.
  public var adminCommandSupport: UInt16 {
    get { load(256) }
    set { store(newValue, 256) }
  }

  /// Abort Command Limit (ACL), minus one.
  public var abortCommandLimit: UInt8 {
    get { load(258) }
    set { store(newValue, 258) }
  }

  /// Asynchronous Event Request Limit (AERL), minus one.
  public var asynchronousEventRequestLimit: UInt8 {
    get { load(259) }
    set { store(newValue, 259) }
  }

  /// Firmware Updates (FRMW): bit 0 slot 1 read only, bits 3:1 number of slots.
  public var firmwareUpdates: UInt8 {
    get { load(260) }
    set { store(newValue, 260) }
  }

  /// Log Page Attributes (LPA): bit 1 commands supported and effects, bit 2 extended data.
  public var logPageAttributes: UInt8 {
    get { load(261) }
    set { store(newValue, 261) }
  }

  /// Error Log Page Entries (ELPE), minus one.
  public var errorLogPageEntries: UInt8 {
    get { load(262) }
    set { store(newValue, 262) }
  }

  /// Number of Power States Support (NPSS), minus one.
  public var powerStateCount: UInt8 {
    get { load(263) }
    set { store(newValue, 263) }
  }

  /// Warning Composite Temperature Threshold (WCTEMP), in kelvins.
  public var warningTemperature: UInt16 {
    get { load(266) }
    set { store(newValue, 266) }
  }

  /// Critical Composite Temperature Threshold (CCTEMP), in kelvins.
  public var criticalTemperature: UInt16 {
    get { load(268) }
    set { store(newValue, 268) }
  }

  /// Keep Alive Support (KAS); 0 for none.
  public var keepAliveSupport: UInt16 {
    get { load(320) }
    set { store(newValue, 320) }
  }

  /// Submission Queue Entry Size (SQES): least in bits 3:0, most in 7:4, as powers of two.
  public var submissionQueueEntrySize: UInt8 {
    get { load(512) }
    set { store(newValue, 512) }
  }

  /// Completion Queue Entry Size (CQES): as for submission queues.
  public var completionQueueEntrySize: UInt8 {
    get { load(513) }
    set { store(newValue, 513) }
  }

  /// Maximum Outstanding Commands (MAXCMD).
  public var maximumOutstandingCommands: UInt16 {
    get { load(514) }
    set { store(newValue, 514) }
  }

  /// Number of Namespaces (NN): the highest valid identifier.
  public var namespaceCount: UInt32 {
    get { load(516) }
    set { store(newValue, 516) }
  }

  /// Optional NVM Command Support (ONCS): Compare, Write Uncorrectable, Dataset Management, Write Zeroes, save field, reservations, Timestamp, Verify, Copy from bit 0 on.
  public var commandSupport: UInt16 {
    get { load(520) }
    set { store(newValue, 520) }
  }

  /// Format NVM Attributes (FNA): bit 0 formats concern all namespaces.
  public var formatAttributes: UInt8 {
    get { load(524) }
    set { store(newValue, 524) }
  }

  /// Volatile Write Cache (VWC): bit 0 present, bits 2:1 Flush with the broadcast NSID.
  public var volatileWriteCache: UInt8 {
    get { load(525) }
    set { store(newValue, 525) }
  }

  /// Atomic Write Unit Normal (AWUN), in blocks minus one.
  public var atomicWriteUnitNormal: UInt16 {
    get { load(526) }
    set { store(newValue, 526) }
  }

  /// Atomic Write Unit Power Fail (AWUPF), in blocks minus one.
  public var atomicWriteUnitPowerFail: UInt16 {
    get { load(528) }
    set { store(newValue, 528) }
  }

  /// Optional Copy Formats Supported (OCFS): bit 0 is format 0.
  public var copyFormatSupport: UInt16 {
    get { load(534) }
    set { store(newValue, 534) }
  }

  /// SGL Support (SGLS).
  public var sglSupport: UInt32 {
    get { load(536) }
    set { store(newValue, 536) }
  }

  /// NVM Subsystem NVMe Qualified Name (SUBNQN).
  public var qualifiedName: String {
    get { text(768..<1024) }
    set { store(text: newValue, 768..<1024) }
  }

  /// Sets the qualified name, which ends with zeros rather than spaces.
  public mutating func setQualifiedName(_ name: String) {
    for offset in 768..<1024 { bytes[offset] = 0 }
    for (offset, byte) in zip(768..<1023, name.utf8) { bytes[offset] = byte }
  }

  /// Sets what power state 0 consumes at most, in hundredths of a watt.
  public mutating func setMaximumPower(_ centiwatts: UInt16) { store(centiwatts, 2048) }
}
