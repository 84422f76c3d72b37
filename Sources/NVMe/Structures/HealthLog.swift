/// The SMART / Health Information log, LID 02h. Counts of 128 bits are given in their lower 64.
///
/// Source: NVMe 1.4, figure 194.
public struct HealthLog: NVMeStructure {
  /// The structure's size in bytes.
  public static let byteCount = 512
  /// The bytes.
  public var bytes = [UInt8](repeating: 0, count: byteCount)

  /// A structure of zeros.
  public init() {}

  /// Critical Warning: bit 0 spare, 1 temperature, 2 reliability, 3 read only, 4 backup.
  public var criticalWarning: UInt8 {
    get { load(0) }
    set { store(newValue, 0) }
  }

  /// Composite Temperature, in kelvins.
  public var temperature: UInt16 {
    get { load(1) }
    set { store(newValue, 1) }
  }

  /// Available Spare, in percent.
  public var availableSpare: UInt8 {
    get { load(3) }
    set { store(newValue, 3) }
  }

  /// Available Spare Threshold, in percent.
  public var availableSpareThreshold: UInt8 {
    get { load(4) }
    set { store(newValue, 4) }
  }

  /// Percentage Used.
  public var percentageUsed: UInt8 {
    get { load(5) }
    set { store(newValue, 5) }
  }

  /// Data Units Read, in units of 512,000 bytes, rounded up.
  public var dataUnitsRead: UInt64 {
    get { load(32) }
    set { store(newValue, 32) }
  }

  /// Data Units Written, in units of 512,000 bytes, rounded up.
  public var dataUnitsWritten: UInt64 {
    get { load(48) }
    set { store(newValue, 48) }
  }

  /// Host Read Commands.
  public var hostReadCommands: UInt64 {
    get { load(64) }
    set { store(newValue, 64) }
  }

  /// Host Write Commands.
  public var hostWriteCommands: UInt64 {
    get { load(80) }
    set { store(newValue, 80) }
  }

  /// Controller Busy Time, in minutes.
  public var controllerBusyMinutes: UInt64 {
    get { load(96) }
    set { store(newValue, 96) }
  }

  /// Power Cycles.
  public var powerCycles: UInt64 {
    get { load(112) }
    set { store(newValue, 112) }
  }

  /// Power On Hours.
  public var powerOnHours: UInt64 {
    get { load(128) }
    set { store(newValue, 128) }
  }

  /// Unsafe Shutdowns.
  public var unsafeShutdowns: UInt64 {
    get { load(144) }
    set { store(newValue, 144) }
  }

  /// Media and Data Integrity Errors.
  public var mediaErrors: UInt64 {
    get { load(160) }
    set { store(newValue, 160) }
  }

  /// Number of Error Information Log Entries, over the life of the controller.
  public var errorLogEntries: UInt64 {
    get { load(176) }
    set { store(newValue, 176) }
  }
}
